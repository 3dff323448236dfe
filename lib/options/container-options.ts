// SPDX-License-Identifier: MIT
import type { Readable, Writable } from 'node:stream'
import type { SeccompProfile } from '../oci/seccomp-profile.ts'
import type { NetworkMode } from './network-options.ts'
import type { NormalizedPort, PortOption } from './port-options.ts'

/** A byte count: a number of bytes, or a string as people write it (`'256m'`, `'1.5g'`; units b, k, m, g, t, powers of 1024). */
export type ByteQuantity = number | string

/** A host file or directory made visible in the container. */
export interface BindMountOptions {
  type: 'bind'
  /** Absolute path on the host. It must exist. */
  source: string
  /** Absolute path in the container. Created when missing. */
  target: string
  /** Refuses writes through this mount, and through the mounts below it. @default false */
  readOnly?: boolean | undefined
  /** Includes what is mounted below `source`. @default true */
  recursive?: boolean | undefined
  /** How mounts made later travel between host and container. @default 'rprivate' */
  propagation?: 'private' | 'rprivate' | 'slave' | 'rslave' | 'shared' | 'rshared' | undefined
  /** Refuses to execute files of this mount. @default false */
  noExec?: boolean | undefined
  /** What of `source` is shown: a relative path, whose links never lead out of `source`. It must exist. @default all of it */
  subpath?: string | undefined
}

/** A volume: a directory that the engine keeps, for any number of containers. See {@link Volume}. */
export interface VolumeMountOptions {
  type: 'volume'
  /** Its name; made when it does not exist. @default an anonymous volume, made for this container alone */
  source?: string | undefined
  /** Absolute path in the container. Created when missing. */
  target: string
  /** Refuses writes through this mount. Needs a `source`. @default false */
  readOnly?: boolean | undefined
  /** What of the volume is shown: a relative path, whose links never lead out of it. It must exist. Needs a `source`. */
  subpath?: string | undefined
  /** Leaves an empty volume empty, instead of filling it with what the image has at `target`. Needs a `source`. @default false */
  noCopy?: boolean | undefined
}

/** A fresh file system in memory, gone with the container. */
export interface TmpfsMountOptions {
  type: 'tmpfs'
  /** Absolute path in the container. */
  target: string
  /** Refuses writes. @default false */
  readOnly?: boolean | undefined
  /** Upper bound of its size. @default half of the memory, as the kernel does */
  size?: ByteQuantity | undefined
  /** Permission bits of its root. @default 0o1777 */
  mode?: number | undefined
  /** Refuses to execute its files. @default true */
  noExec?: boolean | undefined
}

/** Anything that can be mounted into a container. */
export type MountOptions = BindMountOptions | VolumeMountOptions | TmpfsMountOptions

/** One resource limit of the process (`soft` ≤ `hard`); `-1` or `Infinity` is no limit. */
export interface UlimitOptions {
  soft: number
  hard: number
}

/** Changes to the default capability set. Names with or without `CAP_`; `'ALL'` stands for every capability. */
export interface CapabilityOptions {
  add?: readonly string[] | undefined
  drop?: readonly string[] | undefined
}

/** What a container's standard input is fed from. Text goes to `input`, so that a misspelt word is not taken for text. */
export type StdinOption = 'pipe' | 'inherit' | 'ignore' | Uint8Array | Readable

/** Where an output stream of a container goes: into the result, to our own, nowhere, or to a stream (which is not ended). */
export type OutputOption = 'pipe' | 'inherit' | 'ignore' | Writable

/** A container whose program runs, as {@link ContainerOptions.onStart} gets it. */
export interface RunningContainer {
  /** 64 hexadecimal digits. */
  readonly id: string
  /** Of its first process, as the host counts. */
  readonly pid: number
  /**
   * Sends a signal to its first process. One that has ended is no error; as process 1 it ignores all signals but SIGKILL that it has
   * no handler for.
   *
   * @param killSignal - `'SIGTERM'`, `'TERM'` or 15.
   * @throws {InvalidOptionError}
   */
  kill(killSignal: string | number): void
}

/**
 * How a container runs. Every field may be left out; what the image's own configuration says is used then, and after that
 * what Docker does.
 */
export interface ContainerOptions<E = unknown> {
  /**
   * Replaces the image's entrypoint; the image's default command lapses with it. As in Docker, `''` takes both away, and `[]`
   * takes only the entrypoint away.
   */
  entrypoint?: string | readonly string[] | undefined
  /** Environment variables, over those of the image. `undefined` as a value takes a variable away. */
  env?: Readonly<Record<string, string | undefined>> | undefined
  /** Absolute working directory; created when missing. @default the image's, then '/' */
  cwd?: string | undefined
  /** `name`, `uid`, `name:group`, `uid:gid`. Names are looked up in the image's files. @default the image's, then root */
  user?: string | number | undefined
  /** Further groups of the process, by name or id. */
  groups?: readonly (string | number)[] | undefined
  /** Host name inside. @default the first 12 digits of the container's id */
  hostname?: string | undefined
  /** Gives the container its own terminal; stdout and stderr become one stream. @default false */
  tty?: boolean | undefined
  /** A stream word, or the very bytes or stream to feed in. @default 'ignore' */
  stdin?: StdinOption | undefined
  /** Text (sent as UTF-8), bytes or a stream for standard input, instead of `stdin`. A stream that fails ends the run with its error. */
  input?: string | Uint8Array | Readable | undefined
  /** @default 'pipe' */
  stdout?: OutputOption | undefined
  /** @default 'pipe' */
  stderr?: OutputOption | undefined
  /** Runs a small first process that passes signals on and reaps orphans. @default false */
  init?: boolean | undefined
  /** Signal that asks the container to end: `'SIGTERM'`, `'TERM'` or `15`. @default the image's, then 'SIGTERM' */
  stopSignal?: string | number | undefined
  /** Time between `stopSignal` and SIGKILL, in milliseconds. @default 10_000 */
  stopTimeoutMs?: number | undefined
  /** Ends the container with SIGKILL after this time, in milliseconds, and rejects. @default no limit */
  timeoutMs?: number | undefined
  /** Bytes of stdout, and of stderr, kept in memory before the run is ended. @default 100 MiB */
  maxOutputBytes?: number | undefined
  /** Aborting ends the container with SIGKILL, cleans up, and rejects with `signal.reason`. */
  signal?: AbortSignal | undefined
  /** Called when the program has been started. What it throws ends the container with SIGKILL, and rejects. */
  onStart?: ((container: RunningContainer) => void) | undefined
  /** Mounts the root file system read-only. @default false */
  readOnly?: boolean | undefined
  /** Bind mounts, volumes and tmpfs mounts. Made with the shorter paths first, so that none hides another. */
  mounts?: readonly MountOptions[] | undefined
  /** Memory limit, at least 6 MiB: `'256m'` or bytes. @default no limit */
  memory?: ByteQuantity | undefined
  /** Memory plus swap; `-1` is unlimited swap. Needs `memory`. @default twice `memory`, as Docker */
  memorySwap?: ByteQuantity | undefined
  /** Soft memory limit; at most `memory`. */
  memoryReservation?: ByteQuantity | undefined
  /** How many CPUs' worth of time: `0.5` is half of one. @default no limit */
  cpus?: number | undefined
  /** Relative weight when CPUs are contended, 2 to 262144. @default 1024 */
  cpuShares?: number | undefined
  /** The CPUs it may run on: `'0-2,4'`. */
  cpuset?: string | undefined
  /** Highest number of processes and threads; `-1` is no limit. @default no limit */
  pids?: number | undefined
  /** Resource limits by name without `RLIMIT_`, any case: `{ nofile: 1024 }`; one number sets soft and hard. */
  ulimits?: Readonly<Record<string, number | UlimitOptions>> | undefined
  /** -1000 (never killed) to 1000 (killed first). @default inherited */
  oomScoreAdj?: number | undefined
  /** Size of /dev/shm. @default 64 MiB */
  shmSize?: ByteQuantity | undefined
  /** `'auto'`: ids inside are not ids of the host. `'host'`: no user namespace. @default 'auto' */
  userns?: 'auto' | 'host' | undefined
  /** Changes to the default capability set. */
  capabilities?: CapabilityOptions | undefined
  /** System call filter: the default allow-list, none, or a profile in Docker's JSON format. @default 'default' */
  seccomp?: 'default' | 'unconfined' | SeccompProfile | undefined
  /** Keeps setuid binaries and file capabilities from giving privileges. @default true, false with `privileged` */
  noNewPrivileges?: boolean | undefined
  /** Paths hidden inside, instead of the default ones. */
  maskedPaths?: readonly string[] | undefined
  /** Paths made read-only inside, instead of the default ones. */
  readonlyPaths?: readonly string[] | undefined
  /** Kernel settings that belong to the container's namespaces: `{ 'net.core.somaxconn': '1024' }`. */
  sysctls?: Readonly<Record<string, string | number>> | undefined
  /** Lifts capabilities, seccomp, masked and read-only paths. Still inside the user namespace unless `userns: 'host'`. @default false */
  privileged?: boolean | undefined
  /**
   * `'none'`: loopback only. `'host'`: the host's network. `'container:<name or id>'`: that of another container, which must run when
   * this one starts: the same loopback and ports, and its `/etc/hosts` and `/etc/resolv.conf`.
   *
   * @default 'none'
   */
  network?: NetworkMode | undefined
  /**
   * Ports of the container that the host has too: relayed by this process while it runs, taken before it starts.
   *
   * @default none
   * @example
   * [80, { container: 5432, host: 5432 }, '127.0.0.1:5353:53/udp']
   */
  ports?: readonly PortOption[] | undefined
  /** Name servers for /etc/resolv.conf, as addresses. @default the host's that can be reached from inside */
  dns?: readonly string[] | undefined
  /** Further lines of /etc/hosts: host name to address. */
  extraHosts?: Readonly<Record<string, string>> | undefined
  /** Name of the container, for messages: `Container.run` leaves none behind to be found by it. Format: letters, digits, `_`, `.`, `-`, at least two characters. */
  name?: string | undefined
  /** Free-form metadata; `Container.run` keeps it nowhere. */
  labels?: Readonly<Record<string, string>> | undefined
  /** Platform of the image: `'linux/arm64'`. @default the host's */
  platform?: string | undefined
  /** Whether failure (exit code, signal, time) rejects. @default true */
  reject?: boolean | undefined
  /** How output is handed over: decoded text, or bytes. @default 'utf8' */
  encoding?: BufferEncoding | 'buffer' | undefined
  /** What to do about a limit that this host cannot set: reject, or go on without it. @default 'strict' */
  limits?: 'strict' | 'best-effort' | undefined
  /** The engine to use. @default Engine.default() */
  engine?: E | undefined
}

/** A bind mount after validation. */
export type NormalizedBind = Required<{
  [K in keyof Omit<BindMountOptions, 'subpath'>]: Exclude<BindMountOptions[K], undefined>
}> & { subpath: string | null }

/** A volume after validation. */
export interface NormalizedVolume {
  type: 'volume'
  /** `null`: anonymous. */
  source: string | null
  target: string
  readOnly: boolean
  subpath: string | null
  noCopy: boolean
  /** Where it lies, and when it was made, which tells it from an earlier one of this name; `null` until it has been looked up. */
  place: { path: string; createdAt: string } | null
}

/** A mount after validation: every field is set, sizes are bytes. */
export type NormalizedMount =
  | NormalizedBind
  | NormalizedVolume
  | {
      type: 'tmpfs'
      target: string
      readOnly: boolean
      sizeBytes: number | null
      mode: number
      noExec: boolean
    }

/** Options after validation. `null` means: not given, the image's value or Docker's default applies. Plain data except the last group. */
export interface NormalizedContainerOptions {
  /** The command argument; `null` when none was given. */
  command: readonly string[] | null
  /** `null`: the image's. Empty: none. `['']`: none, and the image's command lapses. */
  entrypoint: readonly string[] | null
  /** Variables to set, or (`null`) to take away. In the order given. */
  env: ReadonlyMap<string, string | null>
  cwd: string | null
  user: string | null
  groups: readonly string[]
  hostname: string | null
  tty: boolean
  init: boolean
  /** Signal number. */
  stopSignal: number | null
  stopTimeoutMs: number
  timeoutMs: number | null
  maxOutputBytes: number
  readOnly: boolean
  mounts: readonly NormalizedMount[]
  memoryBytes: number | null
  /** Memory plus swap; -1 is unlimited. */
  memorySwapBytes: number | null
  memoryReservationBytes: number | null
  cpus: number | null
  cpuShares: number | null
  cpuset: string | null
  /** `null`: no limit. */
  pids: number | null
  /** Sorted by type; `type` is `RLIMIT_…`; -1 is no limit. */
  ulimits: readonly { type: string; soft: number; hard: number }[]
  oomScoreAdj: number | null
  shmSizeBytes: number
  userns: 'auto' | 'host'
  /** Names with `CAP_`, or `'ALL'`. */
  capabilities: { add: readonly string[]; drop: readonly string[] }
  seccomp: 'default' | 'unconfined' | SeccompProfile
  noNewPrivileges: boolean
  maskedPaths: readonly string[] | null
  readonlyPaths: readonly string[] | null
  /** Sorted by key. */
  sysctls: Readonly<Record<string, string>>
  privileged: boolean
  network: NetworkMode
  ports: readonly NormalizedPort[]
  dns: readonly string[]
  extraHosts: readonly { host: string; address: string }[]
  name: string | null
  labels: Readonly<Record<string, string>>
  platform: string | null
  reject: boolean
  encoding: BufferEncoding | 'buffer'
  limits: 'strict' | 'best-effort'
  /** Not data from here on: passed through as given. */
  stdin:
    | { kind: 'pipe' | 'inherit' | 'ignore' }
    | { kind: 'bytes'; bytes: Uint8Array }
    | { kind: 'stream'; stream: Readable }
  stdout: OutputOption
  stderr: OutputOption
  signal: AbortSignal | null
  onStart: ((container: RunningContainer) => void) | null
  engine: unknown
}

export { kUlimitInfinity } from './limit-options.ts'
export { normalizeContainerOptions } from './normalize-container-options.ts'
