// SPDX-License-Identifier: MIT
import type { MountEntry } from '../host/mountinfo.ts'

/** One mounted cgroup hierarchy. */
export interface CgroupHierarchy {
  version: 1 | 2
  /** Controllers that can be used in it. Empty for a named v1 hierarchy, and for v2 when v1 has taken them all. */
  controllers: readonly string[]
  /** Name of a v1 hierarchy without controllers: `systemd`. */
  name: string | undefined
  mountPoint: string
  /** Path of this process in the hierarchy, as /proc/self/cgroup says. */
  ownPath: string
  /** Directory of `ownPath` below `mountPoint`; `undefined` when the mount does not show it. */
  ownDir: string | undefined
  /** Whether this process may make cgroups directly below `mountPoint`. */
  writable: boolean
}

/** All hierarchies of this host. `version` is `hybrid` when v1 controllers and a v2 mount live side by side. */
export interface CgroupWorld {
  version: 'v1' | 'hybrid' | 'v2' | 'none'
  /** v1 hierarchies in the order of their mounts, then the v2 one. */
  hierarchies: readonly CgroupHierarchy[]
}

/** What {@link detectCgroupWorld} looks at; all of it is text or plain data. */
export interface CgroupProbe {
  mounts: readonly MountEntry[]
  /** Text of /proc/self/cgroup. */
  selfCgroup: string
  /** Text of cgroup.controllers in the root of the v2 mount, where there is one. */
  controllersText?: string | undefined
  /** Mount points in which this process may make directories. Mounts that are read-only never count. */
  writableDirs: ReadonlySet<string>
}

/** Flags among a v1 mount's options that are not controllers. */
const kNotControllers: ReadonlySet<string> = new Set([
  'rw',
  'ro',
  'none',
  'all',
  'xattr',
  'noprefix',
  'clone_children',
  'cpuset_v2_mode',
  'favordynmods',
  'nsdelegate',
  'memory_localevents',
  'memory_recursiveprot',
  'seclabel',
])

/**
 * Finds out in which of the three cgroup worlds this host is. A hierarchy that is mounted twice counts once, at its first
 * mount that shows the hierarchy's own root.
 *
 * @source man 7 cgroups
 */
export function detectCgroupWorld(probe: CgroupProbe): CgroupWorld {
  const own = parseSelfCgroup(probe.selfCgroup)
  const v1 = unique(probe.mounts.filter(({ fsType }) => fsType === 'cgroup')).map((mount) =>
    v1Hierarchy(mount, own, probe),
  )
  const v2 = unique(probe.mounts.filter(({ fsType }) => fsType === 'cgroup2')).map((mount) =>
    v2Hierarchy(mount, own, probe),
  )
  const unified = v2.slice(0, 1)
  const version = v1.length > 0 ? (unified.length > 0 ? 'hybrid' : 'v1') : unified.length > 0 ? 'v2' : 'none'
  return { version, hierarchies: [...v1, ...unified] }
}

/**
 * Parses /proc/self/cgroup: from the controller list of a line (`cpu,cpuacct`, `name=systemd`, empty for v2) to the path.
 */
export function parseSelfCgroup(text: string): Map<string, string> {
  const paths = new Map<string, string>()
  for (const line of text.split('\n')) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line)
    if (match !== null) paths.set(sortedKey((match[1] ?? '').split(',')), match[2] ?? '/')
  }
  return paths
}

function v1Hierarchy(mount: MountEntry, own: Map<string, string>, probe: CgroupProbe): CgroupHierarchy {
  const subsystems = mount.superOptions.filter((option) => !kNotControllers.has(option) && !option.includes('='))
  const name = mount.superOptions.find((option) => option.startsWith('name='))?.slice('name='.length)
  const key = sortedKey(name === undefined ? subsystems : [...subsystems, `name=${name}`])
  return hierarchy(mount, { version: 1, controllers: subsystems, name, ownPath: own.get(key) ?? '/' }, probe)
}

function v2Hierarchy(mount: MountEntry, own: Map<string, string>, probe: CgroupProbe): CgroupHierarchy {
  const controllers = (probe.controllersText ?? '').trim().split(/\s+/).filter(Boolean)
  return hierarchy(mount, { version: 2, controllers, name: undefined, ownPath: own.get('') ?? '/' }, probe)
}

function hierarchy(
  mount: MountEntry,
  base: Pick<CgroupHierarchy, 'version' | 'controllers' | 'name' | 'ownPath'>,
  probe: CgroupProbe,
): CgroupHierarchy {
  const readOnly = mount.options.includes('ro') || mount.superOptions.includes('ro')
  return {
    ...base,
    mountPoint: mount.mountPoint,
    ownDir: dirOf(mount, base.ownPath),
    writable: !readOnly && probe.writableDirs.has(mount.mountPoint),
  }
}

/** A container's cgroup mount may show only a part of the hierarchy; paths outside it have no directory. */
function dirOf({ root, mountPoint }: MountEntry, ownPath: string): string | undefined {
  if (root === '/') return ownPath === '/' ? mountPoint : mountPoint + ownPath
  if (ownPath === root) return mountPoint
  return ownPath.startsWith(`${root}/`) ? mountPoint + ownPath.slice(root.length) : undefined
}

function unique(mounts: readonly MountEntry[]): MountEntry[] {
  const byDevice = new Map<string, MountEntry>()
  for (const mount of mounts) {
    const known = byDevice.get(mount.device)
    if (known === undefined || (known.root !== '/' && mount.root === '/')) byDevice.set(mount.device, mount)
  }
  return [...byDevice.values()]
}

function sortedKey(parts: readonly string[]): string {
  return [...parts].sort().join(',')
}
