// SPDX-License-Identifier: MIT
import type { NormalizedMount, NormalizedVolume } from '../options/container-options.ts'
import type { NetworkMode } from '../options/network-options.ts'
import type { RuntimeDevice, RuntimeDeviceRule, RuntimeMount } from './runtime-spec.ts'

/** Paths that are hidden by default: Docker's list. They tell of the host or reach hardware. */
export const kDefaultMaskedPaths: readonly string[] = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
]

/** Paths that are read-only by default: Docker's list. */
export const kDefaultReadonlyPaths: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
]

/**
 * Devices that every runtime supplies without a word in config.json.
 *
 * @source https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#default-devices
 */
export const kDefaultDevices: readonly Readonly<Required<RuntimeDevice>>[] = (
  [
    ['/dev/null', 1, 3],
    ['/dev/zero', 1, 5],
    ['/dev/full', 1, 7],
    ['/dev/random', 1, 8],
    ['/dev/urandom', 1, 9],
    ['/dev/tty', 5, 0],
  ] as const
).map(([path, major, minor]) => ({ path, type: 'c', major, minor, fileMode: 0o666, uid: 0, gid: 0 }))

/** Symbolic links in /dev that every runtime supplies: path, then target. */
export const kDefaultDevLinks: readonly (readonly [path: string, target: string])[] = [
  ['/dev/fd', '/proc/self/fd'],
  ['/dev/stdin', '/proc/self/fd/0'],
  ['/dev/stdout', '/proc/self/fd/1'],
  ['/dev/stderr', '/proc/self/fd/2'],
  ['/dev/ptmx', 'pts/ptmx'],
]

/** Group of terminals in the devpts file system; `tty` in every distribution. */
const kTtyGid = 5

/** What the default mounts depend on. */
export interface DefaultMountInput {
  privileged: boolean
  network: NetworkMode
  shmSizeBytes: number
  /** Whether there is a user namespace, and group ids that it maps. */
  hasUserNamespace: boolean
  isGidMapped: (gid: number) => boolean
}

/** Lists the mounts that every container has, in Docker's order. */
export function defaultMounts(input: DefaultMountInput): RuntimeMount[] {
  const access = input.privileged ? [] : ['ro']
  const hardened = ['nosuid', 'noexec', 'nodev']
  const ptsGroup = input.isGidMapped(kTtyGid) ? [`gid=${kTtyGid}`] : []
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: hardened },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', ...ptsGroup],
    },
    sysMount(input, [...hardened, ...access]),
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...access, ...hardened] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: hardened },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: [...hardened, 'mode=1777', `size=${input.shmSizeBytes}`],
    },
  ]
}

/** Converts options to mounts of config.json. @param privileged - whether device nodes in volumes work */
export function optionMount(mount: NormalizedMount, privileged: boolean): RuntimeMount {
  if (mount.type === 'volume') return volumeMount(mount, privileged)
  if (mount.type === 'tmpfs') {
    const size = mount.sizeBytes === null ? [] : [`size=${mount.sizeBytes}`]
    return {
      destination: mount.target,
      type: 'tmpfs',
      source: 'tmpfs',
      options: [
        'nosuid',
        'nodev',
        ...(mount.noExec ? ['noexec'] : []),
        mount.readOnly ? 'ro' : 'rw',
        `mode=${mount.mode.toString(8)}`,
        ...size,
      ],
    }
  }
  const readOnly = mount.recursive ? 'rro' : 'ro'
  return {
    destination: mount.target,
    type: 'bind',
    source: mount.source,
    options: [
      mount.recursive ? 'rbind' : 'bind',
      ...(mount.readOnly ? [readOnly] : []),
      mount.propagation,
      ...(mount.noExec ? ['noexec'] : []),
      ...subpathOf(mount),
    ],
  }
}

/** Its files have the ids of containers, as layers do. */
function volumeMount(mount: NormalizedVolume, privileged: boolean): RuntimeMount {
  return {
    destination: mount.target,
    type: 'bind',
    source: mount.place?.path ?? '',
    options: [
      'bind',
      'idmap',
      ...(mount.readOnly ? ['ro'] : []),
      'rprivate',
      ...(privileged ? [] : ['nodev']),
      ...subpathOf(mount),
    ],
  }
}

/** In the word of mount(8) for it; the standard has none. */
function subpathOf({ subpath }: { subpath: string | null }): string[] {
  return subpath === null ? [] : [`X-mount.subdir=${subpath}`]
}

/**
 * Puts further mounts behind the default ones as Docker does: a default one with the same target, or below a target of `/dev`,
 * gives way; then shorter paths come first and equals keep their order.
 */
export function joinMounts(defaults: readonly RuntimeMount[], further: readonly RuntimeMount[]): RuntimeMount[] {
  const targets = new Set(further.map((mount) => mount.destination))
  const kept = defaults.filter(
    ({ destination }) => !targets.has(destination) && !(targets.has('/dev') && destination.startsWith('/dev/')),
  )
  const depth = (mount: RuntimeMount): number => mount.destination.split('/').length
  return [...kept, ...[...further].sort((a, b) => depth(a) - depth(b))]
}

/** Lists what the device cgroup lets through: making any node, using the default ones and terminals. */
export function deviceRules(privileged: boolean): RuntimeDeviceRule[] {
  if (privileged) return [{ allow: true, access: 'rwm' }]
  const allow = (major: number, minor?: number): RuntimeDeviceRule => ({
    allow: true,
    type: 'c',
    major,
    ...(minor === undefined ? {} : { minor }),
    access: 'rwm',
  })
  return [
    { allow: false, access: 'rwm' },
    { allow: true, type: 'c', access: 'm' },
    { allow: true, type: 'b', access: 'm' },
    ...kDefaultDevices.map(({ major, minor }) => allow(major, minor)),
    allow(5, 1),
    allow(5, 2),
    allow(136),
  ]
}

/** The kernel only mounts a sysfs for a network namespace that belongs to the user namespace; else the host's is bound. */
function sysMount(input: DefaultMountInput, options: string[]): RuntimeMount {
  if (input.network === 'host' && input.hasUserNamespace) {
    return { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', ...options.map(recursive)] }
  }
  return { destination: '/sys', type: 'sysfs', source: 'sysfs', options }
}

/** Read-only has to hold for the mounts below the host's /sys as well. */
function recursive(option: string): string {
  return option === 'ro' ? 'rro' : option
}
