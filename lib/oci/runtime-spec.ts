// SPDX-License-Identifier: MIT

/**
 * The OCI runtime configuration (config.json) for Linux, with the standard's exact field names. Only what wherry writes or
 * reads is typed; sizes are bytes, times are as the standard says.
 *
 * @source https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md
 */
export interface RuntimeSpec {
  ociVersion: string
  hostname?: string
  domainname?: string
  process: RuntimeProcess
  root: RuntimeRoot
  mounts: RuntimeMount[]
  annotations?: Record<string, string>
  linux: RuntimeLinux
}

/** Version that a {@link RuntimeSpec} declares: runtimes that are still in distributions refuse any later one. */
export const kOciRuntimeVersion = '1.0.2'

/** The container's root file system; `path` is absolute on the host. */
export interface RuntimeRoot {
  path: string
  readonly?: boolean
}

/** The container's first process. */
export interface RuntimeProcess {
  terminal?: boolean
  user: RuntimeUser
  args: string[]
  env: string[]
  cwd: string
  capabilities?: RuntimeCapabilities
  rlimits?: RuntimeRlimit[]
  noNewPrivileges?: boolean
  oomScoreAdj?: number
}

/** Numeric identity of the first process, as seen inside the container. `umask` is a number, not an octal string. */
export interface RuntimeUser {
  uid: number
  gid: number
  umask?: number
  additionalGids?: number[]
}

/** Capability sets, each a sorted list of `CAP_…` names. */
export interface RuntimeCapabilities {
  bounding: string[]
  effective: string[]
  inheritable: string[]
  permitted: string[]
  ambient: string[]
}

/** One resource limit; `type` is `RLIMIT_…`. */
export interface RuntimeRlimit {
  type: string
  soft: number
  hard: number
}

/** One mount, in the order in which it is made. `options` are mount(8) words. */
export interface RuntimeMount {
  destination: string
  type?: string
  source?: string
  options?: string[]
}

/** The Linux part of the configuration. */
export interface RuntimeLinux {
  uidMappings?: RuntimeIdMapping[]
  gidMappings?: RuntimeIdMapping[]
  sysctl?: Record<string, string>
  resources?: RuntimeResources
  cgroupsPath?: string
  namespaces: RuntimeNamespace[]
  devices?: RuntimeDevice[]
  seccomp?: RuntimeSeccomp
  rootfsPropagation?: 'private' | 'slave' | 'shared' | 'unbindable'
  maskedPaths?: string[]
  readonlyPaths?: string[]
}

/** `size` ids from `containerID` on are `hostID` and up on the host. */
export interface RuntimeIdMapping {
  containerID: number
  hostID: number
  size: number
}

/** Kinds of namespace the standard knows on Linux. */
export type RuntimeNamespaceType = 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'user' | 'cgroup' | 'time'

/** A namespace to create, or to join when `path` is given. */
export interface RuntimeNamespace {
  type: RuntimeNamespaceType
  path?: string
}

/** A device node to make. `fileMode` is the permission bits as a number. */
export interface RuntimeDevice {
  path: string
  type: 'c' | 'b' | 'u' | 'p'
  major?: number
  minor?: number
  fileMode?: number
  uid?: number
  gid?: number
}

/** cgroup settings. */
export interface RuntimeResources {
  devices?: RuntimeDeviceRule[]
  memory?: RuntimeMemory
  cpu?: RuntimeCpu
  pids?: { limit: number }
  unified?: Record<string, string>
}

/** One rule of the device cgroup; absent `major` or `minor` mean any. */
export interface RuntimeDeviceRule {
  allow: boolean
  type?: 'a' | 'c' | 'b'
  major?: number
  minor?: number
  access?: string
}

/** Memory limits in bytes; `swap` is memory plus swap, -1 is no limit. */
export interface RuntimeMemory {
  limit?: number
  reservation?: number
  swap?: number
}

/** CPU limits; `quota` and `period` are microseconds. */
export interface RuntimeCpu {
  shares?: number
  quota?: number
  period?: number
  cpus?: string
  mems?: string
}

/** What a filter answers with. */
export type SeccompAction =
  | 'SCMP_ACT_KILL'
  | 'SCMP_ACT_KILL_PROCESS'
  | 'SCMP_ACT_KILL_THREAD'
  | 'SCMP_ACT_TRAP'
  | 'SCMP_ACT_ERRNO'
  | 'SCMP_ACT_TRACE'
  | 'SCMP_ACT_ALLOW'
  | 'SCMP_ACT_LOG'

/** How an argument is compared. For `SCMP_CMP_MASKED_EQ`: `(argument & value) === (valueTwo & value)`. */
export type SeccompOperator =
  | 'SCMP_CMP_NE'
  | 'SCMP_CMP_LT'
  | 'SCMP_CMP_LE'
  | 'SCMP_CMP_EQ'
  | 'SCMP_CMP_GE'
  | 'SCMP_CMP_GT'
  | 'SCMP_CMP_MASKED_EQ'

/** One condition on one argument (`index` 0 to 5), compared as unsigned 64-bit. */
export interface SeccompArg {
  index: number
  value: number
  valueTwo?: number
  op: SeccompOperator
}

/** An action for some system calls; all `args` must hold. `errnoRet` defaults to EPERM. */
export interface SeccompRule {
  names: string[]
  action: SeccompAction
  errnoRet?: number
  args?: SeccompArg[]
}

/** A whole filter, as in config.json. */
export interface RuntimeSeccomp {
  defaultAction: SeccompAction
  defaultErrnoRet?: number
  architectures?: string[]
  flags?: string[]
  syscalls?: SeccompRule[]
}

/** No limit in {@link RuntimeRlimit}: RLIM_INFINITY is 2^64 - 1, which a double holds as 2^64. */
export const kRlimitInfinity = 2 ** 64

/** Writes config.json for other runtimes and tools: one line, with RLIM_INFINITY in full. */
export function serializeRuntimeSpec(spec: RuntimeSpec): string {
  // Inside of a string the quotes would have backslashes before them: only real keys match.
  const infinities = /([{,]"(?:soft|hard)":)18446744073709552000/g
  return JSON.stringify(spec).replaceAll(infinities, (_, key: string) => `${key}18446744073709551615`)
}
