// SPDX-License-Identifier: MIT
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { UnsupportedHostError } from '../errors.ts'
import { parseMountinfo } from './mountinfo.ts'

/** Which kinds of cgroup hierarchy are mounted. `none` when no cgroup file system is. */
export type HostCgroupVersion = 'v1' | 'hybrid' | 'v2' | 'none'

/** What one look at /proc and /sys says about this host. Plain data: it can be printed, stored and made up in tests. */
export interface HostFacts {
  arch: 'x64' | 'arm64'
  /** Release of the kernel, as `uname -r` prints it. */
  kernel: string
  /** `CAP_…` names that this process can hand on: its bounding set without what it lacks itself. In the kernel's order. */
  boundingCapabilities: readonly string[]
  uid: number
  /** Whether this is root, and not of a user namespace that maps some ids only: such a root is an ordinary user for the kernel. */
  rootful: boolean
  cpus: number
  memoryBytes: number
  cgroupVersion: HostCgroupVersion
  userNamespaces: {
    /** Value of user.max_user_namespaces; 0 when the kernel has no user namespaces. */
    max: number
    /** Debian's kernel.unprivileged_userns_clone; `null` where the kernel has no such switch. */
    unprivileged: boolean | null
  }
  /** kernel.apparmor_restrict_unprivileged_userns; `null` where the kernel has no such switch. */
  apparmorRestrictsUserns: boolean | null
  /** Names of the active security modules; empty when securityfs cannot be read. */
  lsm: readonly string[]
  /** Whether the overlay file system is there, or is a module that can be loaded. */
  overlay: boolean
}

/** Reads a text file; resolves with `undefined` when it does not exist or may not be read. */
export type ReadText = (path: string) => Promise<string | undefined>

/** Capability names, indexed by number. @source include/uapi/linux/capability.h */
export const kCapabilityNames: readonly string[] = Object.freeze(
  (
    'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE ' +
    'NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN ' +
    'SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE ' +
    'MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
  )
    .split(' ')
    .map((name) => `CAP_${name}`),
)

/**
 * Reads what there is to know about this host, once; nothing is changed and no module is loaded.
 *
 * @param readText — how files are read. @default the real files
 * @throws {UnsupportedHostError} when this is not Linux on x64 or arm64, or when /proc is not mounted
 */
export async function readHostFacts(readText: ReadText = readTextFile): Promise<HostFacts> {
  const arch = supportedArch()
  const [status, osrelease, meminfo, mountinfo, filesystems, maxUserns, userns, apparmor, lsm, uidMap, gidMap] =
    await Promise.all(kFiles.map((path) => readText(path)))
  if (status === undefined || osrelease === undefined) {
    throw new UnsupportedHostError('containers', '/proc/self/status cannot be read', 'mount proc on /proc.')
  }
  const kernel = osrelease.trim()
  const uid = Number(/^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1] ?? -1)
  return {
    arch,
    kernel,
    boundingCapabilities: parseCapabilities(status),
    uid,
    rootful: uid === 0 && mapsAllIds(uidMap) && mapsAllIds(gidMap),
    cpus: availableParallelism(),
    memoryBytes: Number(/^MemTotal:\s+(\d+) kB/m.exec(meminfo ?? '')?.[1] ?? 0) * 1024,
    cgroupVersion: cgroupVersionOf(mountinfo ?? ''),
    userNamespaces: { max: Number(maxUserns ?? 0), unprivileged: parseSwitch(userns) },
    apparmorRestrictsUserns: parseSwitch(apparmor),
    lsm: lsm === undefined ? [] : lsm.trim().split(',').filter(Boolean),
    overlay: /\toverlay$/m.test(filesystems ?? '') || (await hasOverlayModule(kernel, readText)),
  }
}

const kIdMaps: readonly string[] = ['/proc/self/uid_map', '/proc/self/gid_map']

const kFiles: readonly string[] = [
  '/proc/self/status',
  '/proc/sys/kernel/osrelease',
  '/proc/meminfo',
  '/proc/self/mountinfo',
  '/proc/filesystems',
  '/proc/sys/user/max_user_namespaces',
  '/proc/sys/kernel/unprivileged_userns_clone',
  '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
  '/sys/kernel/security/lsm',
  ...kIdMaps,
]

/** Whether this process' user namespace knows all ids, so that files can belong to anybody. */
export async function knowsAllIds(readText: ReadText = readTextFile): Promise<boolean> {
  const maps = await Promise.all(kIdMaps.map((path) => readText(path)))
  return maps.every(mapsAllIds)
}

/**
 * Names the capabilities that a process can hand on, from the text of its /proc/…/status: those in its bounding set that it
 * holds itself. Bits that have no name yet are left out.
 */
export function parseCapabilities(status: string): string[] {
  const uid = Number(/^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1] ?? 0)
  const mask = (field: string) => BigInt(`0x${new RegExp(`^${field}:\\s+([0-9a-f]+)`, 'm').exec(status)?.[1] ?? '0'}`)
  // An ordinary user holds none, and has all of the bounding set in a user namespace of its own.
  const usable = uid === 0 ? mask('CapBnd') & mask('CapPrm') : mask('CapBnd')
  return kCapabilityNames.filter((_, bit) => ((usable >> BigInt(bit)) & 1n) === 1n)
}

/** Whether a kernel release such as `6.1.0-18-amd64` is `major.minor` or later. */
export function kernelAtLeast(kernel: string, major: number, minor: number): boolean {
  const match = /^(\d+)\.(\d+)/.exec(kernel)
  if (match === null) return false
  const [ownMajor, ownMinor] = [Number(match[1]), Number(match[2])]
  return ownMajor > major || (ownMajor === major && ownMinor >= minor)
}

/** Reads a file as text, `undefined` when it does not exist or may not be read; other failures reject. */
export async function readTextFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    // Some files under /proc and /sys answer EINVAL or EOPNOTSUPP to a read when their feature is off.
    if (code !== undefined && kAbsent.has(code)) return undefined
    throw error
  }
}

const kAbsent: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EINVAL', 'EOPNOTSUPP', 'ENODEV'])

function supportedArch(): 'x64' | 'arm64' {
  if (process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64')) return process.arch
  throw new UnsupportedHostError(
    'containers',
    `this is ${process.platform} on ${process.arch}`,
    'run on Linux on x64 or arm64.',
  )
}

function cgroupVersionOf(mountinfo: string): HostCgroupVersion {
  const types = new Set(parseMountinfo(mountinfo).map(({ fsType }) => fsType))
  if (types.has('cgroup')) return types.has('cgroup2') ? 'hybrid' : 'v1'
  return types.has('cgroup2') ? 'v2' : 'none'
}

/** @param idMap - absent where the kernel has no user namespaces */
function mapsAllIds(idMap: string | undefined): boolean {
  return idMap === undefined || /^\s*0\s+0\s+4294967295\s*$/.test(idMap)
}

function parseSwitch(text: string | undefined): boolean | null {
  return text === undefined ? null : text.trim() !== '0'
}

async function hasOverlayModule(kernel: string, readText: ReadText): Promise<boolean> {
  const index = await readText(`/lib/modules/${kernel}/modules.dep`)
  return index !== undefined && /\/overlay\.ko(?:\.\w+)?:/.test(index)
}
