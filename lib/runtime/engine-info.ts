// SPDX-License-Identifier: MIT
import { kernelAtLeast } from '../host/facts.ts'
import type { IdRange } from '../oci/build-spec.ts'
import type { HostContext } from './host-context.ts'

/** One thing that a host can or cannot do. */
export interface EngineFeature {
  /** `userNamespaces`, `idMappedMounts`, `overlay`, `cgroups`, `cgroups.memory`, …; the name that `UnsupportedHostError` uses. */
  readonly name: string
  readonly available: boolean
  /** What was looked at, and what it said. */
  readonly probe: string
  /** What would make it available. */
  readonly hint?: string
}

/** What a host and an engine can do. */
export interface EngineInfo {
  readonly root: string
  readonly kernel: string
  readonly arch: 'x64' | 'arm64'
  readonly cpus: number
  readonly memoryBytes: number
  /** Whether this process is root: then containers get their own id range and id-mapped layers. */
  readonly rootful: boolean
  readonly cgroupVersion: 'v1' | 'hybrid' | 'v2' | 'none'
  /** cgroup controllers that can be limited, sorted. */
  readonly controllers: readonly string[]
  /** How ids inside map to ids of the host. */
  readonly uidMap: readonly IdRange[]
  readonly gidMap: readonly IdRange[]
  /** Capabilities that can be given to containers at all. */
  readonly capabilities: readonly string[]
  readonly features: readonly EngineFeature[]
}

const kLimitControllers = ['cpu', 'cpuset', 'memory', 'pids', 'blkio'] as const

/** Describes a host as found. Pure. */
export function describeEngine(root: string, host: HostContext): EngineInfo {
  const { facts, world, idMapping } = host
  const { map } = idMapping
  const usable = world.hierarchies.filter(({ writable }) => writable)
  const controllers = [...new Set(usable.flatMap((hierarchy) => hierarchy.controllers))].sort()
  return {
    root,
    kernel: facts.kernel,
    arch: facts.arch,
    cpus: facts.cpus,
    memoryBytes: facts.memoryBytes,
    rootful: facts.rootful,
    cgroupVersion: world.version,
    controllers,
    uidMap: 'uids' in map ? map.uids : map,
    gidMap: 'gids' in map ? map.gids : map,
    capabilities: facts.boundingCapabilities,
    features: [
      userNamespaces(host),
      idRanges(host),
      idMappedMounts(host),
      feature('overlay', facts.overlay, '/proc/filesystems and the modules of this kernel', 'load the module overlay.'),
      feature('cgroups', usable.length > 0, `${world.version}; ${usable.length} writable hierarchies`, kCgroupHint),
      ...kLimitControllers.map((name) => controllerFeature(name, controllers)),
    ],
  }
}

const kCgroupHint =
  'run as root with cgroup mounts read-write, or below a delegated cgroup (systemd-run --user --scope).'

function feature(name: string, available: boolean, probe: string, hint: string): EngineFeature {
  return available ? { name, available, probe } : { name, available, probe, hint }
}

function userNamespaces({ facts }: HostContext): EngineFeature {
  const { max, unprivileged } = facts.userNamespaces
  const blocked = !facts.rootful && (unprivileged === false || facts.apparmorRestrictsUserns === true)
  const probe = `user.max_user_namespaces is ${max}; kernel.apparmor_restrict_unprivileged_userns is ${facts.apparmorRestrictsUserns ?? 'absent'}`
  return feature(
    'userNamespaces',
    max > 0 && !blocked,
    probe,
    'set user.max_user_namespaces above 0, and kernel.apparmor_restrict_unprivileged_userns to 0.',
  )
}

function idRanges({ idMapping }: HostContext): EngineFeature {
  const probe = idMapping.single
    ? 'no usable range in /etc/subuid and /etc/subgid, or no newuidmap'
    : `mapped ${idMapping.mode || 'directly'}`
  return feature(
    'idRanges',
    !idMapping.single,
    probe,
    "add ranges to /etc/subuid and /etc/subgid and install Debian's package uidmap.",
  )
}

function idMappedMounts({ facts }: HostContext): EngineFeature {
  // An ordinary user's layers belong to that user already.
  if (!facts.rootful) return { name: 'idMappedMounts', available: true, probe: 'not needed by an ordinary user' }
  const available = kernelAtLeast(facts.kernel, 5, 19)
  return feature('idMappedMounts', available, `kernel ${facts.kernel}`, "needs Linux 5.19 or later, or userns: 'host'.")
}

function controllerFeature(name: string, controllers: readonly string[]): EngineFeature {
  // v2 calls it io.
  const available = controllers.includes(name) || (name === 'blkio' && controllers.includes('io'))
  return feature(`cgroups.${name}`, available, `controllers: ${controllers.join(' ') || 'none'}`, kCgroupHint)
}
