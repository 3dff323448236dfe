// SPDX-License-Identifier: MIT
import { UnsupportedHostError } from '../errors.ts'
import type { RuntimeResources } from '../oci/runtime-spec.ts'
import { writesV1 } from './limits-v1.ts'
import { writesV2 } from './limits-v2.ts'

/** One value to write to one file of a cgroup. In what order matters within a controller, not between controllers. */
export interface CgroupWrite {
  controller: string
  file: string
  value: string
}

/** Rate of one block device; `rate` is bytes or operations per second, 0 is no limit. */
export interface BlkioThrottle {
  major: number
  minor: number
  rate: number
}

/** The standard's `blockIO`, as far as the kernel still implements it. `weight` is 10 to 1000. */
export interface BlkioResources {
  weight?: number
  throttleReadBpsDevice?: readonly BlkioThrottle[]
  throttleWriteBpsDevice?: readonly BlkioThrottle[]
  throttleReadIOPSDevice?: readonly BlkioThrottle[]
  throttleWriteIOPSDevice?: readonly BlkioThrottle[]
}

/** `linux.resources` of the OCI runtime specification, as far as limits can be derived from it. */
export interface CgroupResources extends RuntimeResources {
  blockIO?: BlkioResources
}

/** What a container's cgroup on this host would offer. Plain data; a driver makes it, and so do tests. */
export interface LimitHost {
  version: 1 | 2
  /** Names of the files in a container's cgroup by controller. A controller that is not a key is not available. */
  files: ReadonlyMap<string, ReadonlySet<string>>
  /** Directories of controllers that are mounted but in which this process may make no cgroup. */
  unwritable?: ReadonlyMap<string, string> | undefined
  /** What was looked at to find the controllers, and what it said. For messages. */
  probe: string
}

/** Values now in force in a v1 cgroup; they decide in which order memory and memory plus swap have to be written. */
export interface CurrentLimits {
  /** Memory plus swap in bytes; `undefined` is no limit. */
  memorySwapBytes?: number | undefined
}

/** A limit that this host cannot enforce. */
export interface MissingLimit {
  /** The option: `memory`, `memorySwap`, `cpus`, … */
  limit: string
  controller: string
  file: string
}

/** What {@link planLimits} answers. */
export interface LimitPlan {
  writes: readonly CgroupWrite[]
  /** Limits left out because the host cannot enforce them; always empty in mode `strict`. */
  skipped: readonly MissingLimit[]
}

/** Collects writes, and sets aside those whose file this host lacks. */
export interface LimitSink {
  has(controller: string, file: string): boolean
  put(limit: string, write: CgroupWrite): void
}

/**
 * Turns the resources of an OCI configuration into writes to the files of a cgroup. Pure.
 *
 * @param mode — `strict` refuses what the host cannot enforce, `best-effort` leaves it out and says so. @default 'strict'
 * @param current — for an update of a running container on v1
 * @throws {UnsupportedHostError} in mode `strict`, naming the controller, what was looked at and the way out
 * @throws {InvalidOptionError} when values contradict each other
 * @source https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#control-groups
 */
export function planLimits(
  resources: CgroupResources,
  host: LimitHost,
  mode: 'strict' | 'best-effort' = 'strict',
  current: CurrentLimits = {},
): LimitPlan {
  const writes: CgroupWrite[] = []
  const skipped: MissingLimit[] = []
  const sink: LimitSink = {
    has: (controller, file) => host.files.get(controller)?.has(file) === true,
    put: (limit, write) => {
      if (sink.has(write.controller, write.file)) writes.push(write)
      else skipped.push({ limit, controller: write.controller, file: write.file })
    },
  }
  if (host.version === 1) writesV1(resources, sink, current)
  else writesV2(resources, sink)
  const [first] = skipped
  if (first !== undefined && mode === 'strict') throw missingLimitError(first, host)
  return { writes, skipped }
}

/** The error for a limit that this host cannot enforce. */
export function missingLimitError(missing: MissingLimit, host: LimitHost): UnsupportedHostError {
  const { limit, controller, file } = missing
  const unwritable = host.unwritable?.get(controller)
  const why = unwritable === undefined ? host.probe : `this process may not make directories in ${unwritable}`
  const probe = host.files.has(controller)
    ? `cgroup controller '${controller}' (v${host.version}) is there but has no file ${file}`
    : `cgroup controller '${controller}' is not available: ${why}`
  return new UnsupportedHostError(`the limit '${limit}'`, probe, wayOut(missing, host))
}

function wayOut({ limit, controller, file }: MissingLimit, host: LimitHost): string {
  const otherwise = `or leave out '${limit}', or say limits: 'best-effort'.`
  if (file.startsWith('memory.memsw.') || file.startsWith('memory.swap.')) {
    return `boot the kernel with swapaccount=1, ${otherwise}`
  }
  if (host.unwritable?.has(controller) === true) return `run as root with the cgroup mounts read-write, ${otherwise}`
  if (host.files.has(controller)) return `use a kernel that has ${file}, ${otherwise}`
  return host.version === 2
    ? `let this process's cgroup have '${controller}' (as root: write +${controller} to cgroup.subtree_control of every ` +
        `directory above; else: systemd-run --user --scope -p Delegate=yes …), ${otherwise}`
    : `mount the controller (mount -t cgroup -o ${controller} cgroup /sys/fs/cgroup/${controller}), ${otherwise}`
}
