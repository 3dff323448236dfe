// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import type { ResolvedUser } from '../rootfs/users.ts'
import { applyCapabilities } from './capabilities.ts'
import {
  defaultMounts,
  deviceRules,
  joinMounts,
  kDefaultMaskedPaths,
  kDefaultReadonlyPaths,
  optionMount,
} from './default-mounts.ts'
import { containerEnv, type ImageRunConfig, type MergedConfig, mergeConfig } from './merge-config.ts'
import {
  kOciRuntimeVersion,
  kRlimitInfinity,
  type RuntimeCapabilities,
  type RuntimeIdMapping,
  type RuntimeLinux,
  type RuntimeMount,
  type RuntimeNamespaceType,
  type RuntimeProcess,
  type RuntimeResources,
  type RuntimeSeccomp,
  type RuntimeSpec,
} from './runtime-spec.ts'
import { defaultSeccompProfile, selectSeccomp } from './seccomp-profile.ts'

/** What of the host a configuration depends on. */
export interface SpecHostFacts {
  arch: 'x64' | 'arm64'
  /** Release of the kernel, as `uname -r` prints it. */
  kernel: string
  /** `CAP_…` names that can be handed on. */
  boundingCapabilities: readonly string[]
  cpus: number
}

/** `size` ids from `containerId` on are `hostId` and up on the host. */
export interface IdRange {
  containerId: number
  hostId: number
  size: number
}

/** Ids of a user namespace: one list for users and groups, or one for each. */
export type IdMap = readonly IdRange[] | { uids: readonly IdRange[]; gids: readonly IdRange[] }

/** Everything that a configuration is made from. */
export interface BuildSpecInput {
  options: NormalizedContainerOptions
  imageConfig: { config: ImageRunConfig; architecture?: string }
  /** Who the first process is: `mergeConfig(…).user`, looked up in the image's files. */
  user: ResolvedUser
  host: SpecHostFacts
  /** Absolute path of the root file system on the host. */
  rootfsPath: string
  hostname: string
  /** `null`: the container stays in the cgroup of its engine. */
  cgroupsPath: string | null
  /** `null`: no user namespace. */
  idMap: IdMap | null
  /** Path of the network namespace to join, with `network: 'container:…'`; without it, the container has one of its own. */
  networkPath?: string | undefined
  /** Generated files and volumes, to be mounted besides those of the options. */
  extraMounts?: readonly RuntimeMount[]
  /** Picks the filter; for callers that keep earlier answers. @default chooseSeccomp */
  seccomp?: (input: SeccompChoice) => RuntimeSeccomp | undefined
}

/** What decides which filter a container gets. */
export interface SeccompChoice {
  options: Pick<NormalizedContainerOptions, 'seccomp' | 'privileged'>
  host: Pick<SpecHostFacts, 'arch' | 'kernel'>
  capabilities: readonly string[]
  /** Architecture of the image, in Go's words; `'386'` opens the default filter for 32-bit programs. */
  imageArchitecture?: string | undefined
}

/** Annotation of a container with a first process of wherry's own that reaps orphans. */
export const kInitAnnotation = 'wherry.init'

const kCpuPeriodMicros = 100_000

/**
 * Makes the OCI runtime configuration of a container. Pure: equal input gives an equal result, to the order of its keys.
 *
 * @throws {InvalidOptionError} when options and image together make no container, or ask for more than there is.
 */
export function buildRuntimeSpec(input: BuildSpecInput): RuntimeSpec {
  const { options, idMap } = input
  const merged = mergeConfig(options, input.imageConfig.config)
  const capabilities = options.privileged
    ? [...input.host.boundingCapabilities]
    : applyCapabilities(options.capabilities, input.host.boundingCapabilities)
  const gidMappings = idMap === null ? null : mappings('gids' in idMap ? idMap.gids : idMap)
  const defaults = defaultMounts({
    privileged: options.privileged,
    network: options.network,
    shmSizeBytes: options.shmSizeBytes,
    hasUserNamespace: idMap !== null,
    isGidMapped: (gid) => gidMappings === null || isMapped(gidMappings, gid),
  })
  return {
    ociVersion: kOciRuntimeVersion,
    hostname: input.hostname,
    process: buildProcess(input, merged, capabilities),
    root: { path: input.rootfsPath, readonly: options.readOnly },
    mounts: joinMounts(defaults, [
      ...(input.extraMounts ?? []),
      ...options.mounts.map((mount) => optionMount(mount, options.privileged)),
    ]),
    ...(options.init ? { annotations: { [kInitAnnotation]: 'true' } } : {}),
    linux: buildLinux(input, capabilities, gidMappings),
  }
}

/** Picks the filter of a container by its options; `undefined` is none. */
export function chooseSeccomp({
  options,
  host,
  capabilities,
  imageArchitecture,
}: SeccompChoice): RuntimeSeccomp | undefined {
  if (options.seccomp === 'unconfined' || (options.privileged && options.seccomp === 'default')) return undefined
  const profile = options.seccomp === 'default' ? defaultSeccompProfile(imageArchitecture === '386') : options.seccomp
  return selectSeccomp(profile, { arch: host.arch, kernel: host.kernel, capabilities })
}

function buildProcess(input: BuildSpecInput, merged: MergedConfig, capabilities: string[]): RuntimeProcess {
  const { options, user } = input
  return {
    terminal: options.tty,
    user: { uid: user.uid, gid: user.gid, additionalGids: [...user.additionalGids] },
    args: merged.args,
    env: containerEnv(merged.env, { hostname: input.hostname, tty: options.tty, home: user.home }),
    cwd: merged.cwd,
    capabilities: capabilitySets(capabilities, user.uid),
    ...(options.ulimits.length === 0 ? {} : { rlimits: options.ulimits.map(toRlimit) }),
    noNewPrivileges: options.noNewPrivileges,
    ...(options.oomScoreAdj === null ? {} : { oomScoreAdj: options.oomScoreAdj }),
  }
}

/** As in Docker, another user than root starts without capabilities, and can only gain those of the bounding set. */
function capabilitySets(capabilities: string[], uid: number): RuntimeCapabilities {
  const held = uid === 0 ? [...capabilities] : []
  return {
    bounding: [...capabilities],
    effective: held,
    inheritable: [],
    permitted: [...held],
    ambient: [],
  }
}

function buildLinux(
  input: BuildSpecInput,
  capabilities: readonly string[],
  gidMappings: RuntimeIdMapping[] | null,
): RuntimeLinux {
  const { options, host, idMap } = input
  const seccomp = (input.seccomp ?? chooseSeccomp)({
    options,
    host,
    capabilities,
    imageArchitecture: input.imageConfig.architecture,
  })
  const uidMappings = idMap === null ? null : mappings('uids' in idMap ? idMap.uids : idMap)
  if (uidMappings !== null && gidMappings !== null) checkMapped(input.user, uidMappings, gidMappings)
  const namespaces = namespaceTypes(options, idMap !== null)
  return {
    ...(uidMappings !== null && gidMappings !== null ? { uidMappings, gidMappings } : {}),
    sysctl: buildSysctl(options, idMap !== null),
    resources: buildResources(options, host),
    ...(input.cgroupsPath === null ? {} : { cgroupsPath: input.cgroupsPath }),
    namespaces: namespaces.map((type) =>
      type === 'network' && input.networkPath !== undefined ? { type, path: input.networkPath } : { type },
    ),
    ...(seccomp === undefined ? {} : { seccomp }),
    maskedPaths: [...(options.maskedPaths ?? (options.privileged ? [] : kDefaultMaskedPaths))],
    readonlyPaths: [...(options.readonlyPaths ?? (options.privileged ? [] : kDefaultReadonlyPaths))],
  }
}

function namespaceTypes(options: NormalizedContainerOptions, withUser: boolean): RuntimeNamespaceType[] {
  return [
    'mount',
    ...(options.network === 'host' ? [] : (['network'] as const)),
    'uts',
    'pid',
    'ipc',
    'cgroup',
    ...(withUser ? (['user'] as const) : []),
  ]
}

/** Docker's defaults for a network namespace, below the caller's settings: low ports and ping work without capabilities. */
function buildSysctl(options: NormalizedContainerOptions, hasUserNamespace: boolean): Record<string, string> {
  if (options.network !== 'none') return { ...options.sysctls }
  const all: Record<string, string> = {
    'net.ipv4.ip_unprivileged_port_start': '0',
    // The kernel refuses a range with ids that the user namespace does not map.
    ...(hasUserNamespace ? {} : { 'net.ipv4.ping_group_range': '0 2147483647' }),
    ...options.sysctls,
  }
  return Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The cgroup settings that options ask for. @throws {InvalidOptionError} for more CPUs than there are. */
export function buildResources(
  options: NormalizedContainerOptions,
  host: Pick<SpecHostFacts, 'cpus'>,
): RuntimeResources {
  const memory = {
    ...(options.memoryBytes === null ? {} : { limit: options.memoryBytes }),
    ...(options.memoryReservationBytes === null ? {} : { reservation: options.memoryReservationBytes }),
    ...(options.memorySwapBytes === null ? {} : { swap: options.memorySwapBytes }),
  }
  const cpus = checkedCpus(options, host)
  const cpu = {
    ...(options.cpuShares === null ? {} : { shares: options.cpuShares }),
    ...(cpus === null ? {} : { quota: Math.round(cpus * kCpuPeriodMicros), period: kCpuPeriodMicros }),
    ...(options.cpuset === null ? {} : { cpus: options.cpuset }),
  }
  return {
    devices: deviceRules(options.privileged),
    ...(Object.keys(memory).length === 0 ? {} : { memory }),
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(options.pids === null ? {} : { pids: { limit: options.pids } }),
  }
}

function checkedCpus({ cpus, limits }: NormalizedContainerOptions, host: Pick<SpecHostFacts, 'cpus'>): number | null {
  if (cpus === null || cpus <= host.cpus) return cpus
  if (limits === 'best-effort') return host.cpus
  throw new InvalidOptionError('cpus', `at most the ${host.cpus} that this host has`, cpus)
}

function toRlimit({ type, soft, hard }: { type: string; soft: number; hard: number }): {
  type: string
  soft: number
  hard: number
} {
  return { type, soft: soft < 0 ? kRlimitInfinity : soft, hard: hard < 0 ? kRlimitInfinity : hard }
}

function mappings(ranges: readonly IdRange[]): RuntimeIdMapping[] {
  return ranges.map(({ containerId, hostId, size }) => ({ containerID: containerId, hostID: hostId, size }))
}

function isMapped(map: readonly RuntimeIdMapping[], id: number): boolean {
  return map.some(({ containerID, size }) => id >= containerID && id < containerID + size)
}

function checkMapped(user: ResolvedUser, uids: readonly RuntimeIdMapping[], gids: readonly RuntimeIdMapping[]): void {
  const hint = "use an id that is mapped, more subordinate ids in /etc/subuid and /etc/subgid, or userns: 'host'."
  if (!isMapped(uids, user.uid)) {
    throw new InvalidOptionError('user', 'a user id that the user namespace maps', user.uid, hint)
  }
  const gid = [user.gid, ...user.additionalGids].find((each) => !isMapped(gids, each))
  if (gid !== undefined) throw new InvalidOptionError('user', 'group ids that the user namespace maps', gid, hint)
}
