// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import {
  checkAbsolutePath,
  checkBoolean,
  checkBytes,
  checkNumber,
  checkObject,
  checkPattern,
  checkString,
  checkWord,
} from './checks.ts'
import type { NormalizedBind, NormalizedMount, NormalizedVolume } from './container-options.ts'

const kBindNames = ['type', 'source', 'target', 'readOnly', 'recursive', 'propagation', 'noExec', 'subpath']
const kVolumeNames = ['type', 'source', 'target', 'readOnly', 'subpath', 'noCopy']
const kTmpfsNames = ['type', 'target', 'readOnly', 'size', 'mode', 'noExec']
const kPropagations = ['rprivate', 'private', 'slave', 'rslave', 'shared', 'rshared'] as const

/** Files of /proc that may be covered, one by one: container-aware views of the machine. Anything else there is the kernel's. */
const kCoverableProcFiles = 'cpuinfo diskstats loadavg meminfo slabinfo stat swaps uptime'
  .split(' ')
  .map((name) => `/proc/${name}`)

/** Checks the `mounts` option. Two mounts on one target are refused: one of them would be out of sight. */
export function normalizeMounts(value: unknown): NormalizedMount[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new InvalidOptionError('mounts', 'an array of mounts', value)
  const mounts = value.map((mount, index) => normalizeMount(`mounts[${index}]`, mount))
  const targets = new Set<string>()
  mounts.forEach(({ target }, index) => {
    if (targets.has(target)) throw new InvalidOptionError(`mounts[${index}].target`, 'a target used once', target)
    targets.add(target)
  })
  return mounts
}

function normalizeMount(option: string, value: unknown): NormalizedMount {
  const { type } = checkObject(option, value)
  if (type === 'bind') return normalizeBind(option, checkObject(option, value, kBindNames))
  if (type === 'volume') return normalizeVolume(option, checkObject(option, value, kVolumeNames))
  if (type === 'tmpfs') return normalizeTmpfs(option, checkObject(option, value, kTmpfsNames))
  throw new InvalidOptionError(`${option}.type`, "'bind', 'volume' or 'tmpfs'", type)
}

function normalizeBind(option: string, mount: Record<string, unknown>): NormalizedBind {
  return {
    type: 'bind',
    source: checkAbsolutePath(`${option}.source`, mount.source),
    target: checkTarget(`${option}.target`, mount.target),
    readOnly: checkBoolean(`${option}.readOnly`, mount.readOnly, false),
    recursive: checkBoolean(`${option}.recursive`, mount.recursive, true),
    propagation: checkWord(`${option}.propagation`, mount.propagation, kPropagations),
    noExec: checkBoolean(`${option}.noExec`, mount.noExec, false),
    subpath: checkSubpath(`${option}.subpath`, mount.subpath),
  }
}

function normalizeVolume(option: string, mount: Record<string, unknown>): NormalizedVolume {
  const source = mount.source === undefined ? null : checkVolumeName(`${option}.source`, mount.source)
  const volume: NormalizedVolume = {
    type: 'volume',
    source,
    target: checkTarget(`${option}.target`, mount.target),
    readOnly: checkBoolean(`${option}.readOnly`, mount.readOnly, false),
    subpath: checkSubpath(`${option}.subpath`, mount.subpath),
    noCopy: checkBoolean(`${option}.noCopy`, mount.noCopy, false),
    place: null,
  }
  const named = (['readOnly', 'subpath', 'noCopy'] as const).find((name) => source === null && volume[name])
  if (named === undefined) return volume
  throw new InvalidOptionError(`${option}.source`, `the name of a volume, with '${named}'`, undefined)
}

/** A name of a volume, by Docker's rules. @throws {InvalidOptionError} */
export function checkVolumeName(option: string, value: unknown): string {
  const kName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}$/
  const hint =
    typeof value === 'string' && value.includes('/') ? "a directory of the host is mounted by type 'bind'" : undefined
  if (typeof value === 'string' && hint !== undefined) throw new InvalidOptionError(option, kNameWords, value, hint)
  return checkPattern(option, value, kName, kNameWords)
}

const kNameWords = "the name of a volume: two or more letters, digits, '_', '.', '-'"

function checkSubpath(option: string, value: unknown): string | null {
  if (value === undefined) return null
  const path = checkString(option, value, 'a relative path')
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  if (path.startsWith('/') || names.length === 0 || names.includes('..')) {
    throw new InvalidOptionError(option, "a relative path without '..'", value)
  }
  return names.join('/')
}

function normalizeTmpfs(option: string, mount: Record<string, unknown>): NormalizedMount {
  return {
    type: 'tmpfs',
    target: checkTarget(`${option}.target`, mount.target),
    readOnly: checkBoolean(`${option}.readOnly`, mount.readOnly, false),
    sizeBytes: checkBytes(`${option}.size`, mount.size, 1),
    mode: checkNumber(`${option}.mode`, mount.mode, { min: 0, max: 0o7777, integer: true }) ?? 0o1777,
    noExec: checkBoolean(`${option}.noExec`, mount.noExec, true),
  }
}

function checkTarget(option: string, value: unknown): string {
  const target = checkAbsolutePath(option, value)
  if (target === '/') throw new InvalidOptionError(option, 'a path below /', value)
  if ((target === '/proc' || target.startsWith('/proc/')) && !kCoverableProcFiles.includes(target)) {
    throw new InvalidOptionError(option, 'a path outside of /proc', value)
  }
  return target
}
