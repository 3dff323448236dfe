// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import { parseCpuList } from '../oci/parse-quantity.ts'
import { checkBytes, checkNumber, checkObject, checkString } from './checks.ts'
import type { ContainerOptions, NormalizedContainerOptions } from './container-options.ts'
import { nearestName } from './nearest-name.ts'

/** No limit, in normalized ulimits. */
export const kUlimitInfinity = -1

/** Docker's floor: below it a container cannot even start. */
const kMinMemoryBytes = 6 * 1024 ** 2
const kDefaultShmBytes = 64 * 1024 ** 2
/** Docker's floor of a CPU share: a quota of 1 ms in a period of 100 ms. */
const kMinCpus = 0.01

const kRlimits =
  'as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(' ')

type Limits = Pick<
  NormalizedContainerOptions,
  | 'memoryBytes'
  | 'memorySwapBytes'
  | 'memoryReservationBytes'
  | 'cpus'
  | 'cpuShares'
  | 'cpuset'
  | 'pids'
  | 'ulimits'
  | 'oomScoreAdj'
  | 'shmSizeBytes'
>

/** Checks the options that bound what a container uses. */
export function normalizeLimits(options: ContainerOptions): Limits {
  return {
    ...normalizeMemory(options),
    cpus: checkNumber('cpus', options.cpus, { min: kMinCpus, max: 8192 }),
    cpuShares: checkNumber('cpuShares', options.cpuShares, { min: 2, max: 262_144, integer: true }),
    cpuset: options.cpuset === undefined ? null : normalizeCpuset(options.cpuset),
    pids: normalizePids(options.pids),
    ulimits: options.ulimits === undefined ? [] : normalizeUlimits(options.ulimits),
    oomScoreAdj: checkNumber('oomScoreAdj', options.oomScoreAdj, { min: -1000, max: 1000, integer: true }),
    shmSizeBytes: checkBytes('shmSize', options.shmSize, 1) ?? kDefaultShmBytes,
  }
}

function normalizeMemory(
  options: ContainerOptions,
): Pick<Limits, 'memoryBytes' | 'memorySwapBytes' | 'memoryReservationBytes'> {
  const memoryBytes = checkBytes('memory', options.memory, kMinMemoryBytes)
  const reservation = checkBytes('memoryReservation', options.memoryReservation, kMinMemoryBytes)
  if (memoryBytes !== null && reservation !== null && reservation > memoryBytes) {
    throw new InvalidOptionError('memoryReservation', "at most 'memory'", options.memoryReservation)
  }
  return {
    memoryBytes,
    memorySwapBytes: normalizeSwap(options.memorySwap, memoryBytes),
    memoryReservationBytes: reservation,
  }
}

function normalizeSwap(swap: unknown, memoryBytes: number | null): number | null {
  // As in Docker, a memory limit without a word on swap allows as much swap again.
  if (swap === undefined) return memoryBytes === null ? null : Math.min(memoryBytes * 2, Number.MAX_SAFE_INTEGER)
  const bytes = swap === -1 || swap === '-1' ? -1 : checkBytes('memorySwap', swap)
  if (memoryBytes === null) {
    throw new InvalidOptionError('memorySwap', "to come with 'memory'", swap, "set 'memory' as well")
  }
  if (bytes !== null && bytes !== -1 && bytes < memoryBytes) {
    throw new InvalidOptionError('memorySwap', "memory plus swap: at least 'memory', or -1", swap)
  }
  return bytes
}

function normalizeCpuset(cpuset: unknown): string {
  const text = checkString('cpuset', cpuset, "a list of CPUs such as '0-2,4'")
  const cpus = parseCpuList(text)
  if (cpus === undefined) throw new InvalidOptionError('cpuset', "a list of CPUs such as '0-2,4'", cpuset)
  return text.replaceAll(' ', '')
}

function normalizePids(pids: unknown): number | null {
  if (pids === -1 || pids === Number.POSITIVE_INFINITY) return null
  return checkNumber('pids', pids, { min: 1, max: 4_194_304, integer: true })
}

function normalizeUlimits(value: unknown): Limits['ulimits'] {
  const ulimits = Object.entries(checkObject('ulimits', value)).map(([name, limit]) => {
    const option = `ulimits.${name}`
    const kind = name.toLowerCase().replace(/^rlimit_/, '')
    if (!kRlimits.includes(kind)) {
      const near = nearestName(kind, kRlimits)
      throw new InvalidOptionError(option, 'a resource limit', name, near && `did you mean '${near}'?`)
    }
    const fields =
      typeof limit === 'number' ? { soft: limit, hard: limit } : checkObject(option, limit, ['soft', 'hard'])
    const soft = normalizeUlimit(`${option}.soft`, fields.soft)
    const hard = normalizeUlimit(`${option}.hard`, fields.hard)
    if (hard !== kUlimitInfinity && (soft === kUlimitInfinity || soft > hard)) {
      throw new InvalidOptionError(option, 'soft to be at most hard', soft)
    }
    return { type: `RLIMIT_${kind.toUpperCase()}`, soft, hard }
  })
  ulimits.sort((a, b) => (a.type < b.type ? -1 : 1))
  const twice = ulimits.find((each, index) => each.type === ulimits[index + 1]?.type)
  if (twice !== undefined) throw new InvalidOptionError('ulimits', 'each limit once', twice.type)
  return ulimits
}

function normalizeUlimit(option: string, value: unknown): number {
  if (value === -1 || value === Number.POSITIVE_INFINITY) return kUlimitInfinity
  const limit = checkNumber(option, value, { min: 0, integer: true })
  if (limit === null) throw new InvalidOptionError(option, 'an integer of 0 or more, or -1 for no limit', value)
  return limit
}
