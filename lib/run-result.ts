// SPDX-License-Identifier: MIT
import type { ExitDetails } from './errors.ts'

/** What a container used, as the kernel accounts it to its first process and those that it waited for. */
export interface RunUsage {
  cpuMicros: number
  userMicros: number
  systemMicros: number
  maxRssBytes: number
}

/** How a run ended. */
export interface RunResult<T extends string | Buffer = string> extends ExitDetails {
  /** Exit code; `null` when a signal ended the program. */
  exitCode: number | null
  /** `'SIGKILL'` and so on; `null` when the program exited by itself. */
  killSignal: string | null
  /** Empty unless the stream was `'pipe'`. With a terminal everything is here. */
  stdout: T
  stderr: T
  /** Whether the memory limit of this container made the kernel kill a process of it. */
  oomKilled: boolean
  timedOut: boolean
  /** From the call to the end of the program, in milliseconds. */
  durationMs: number
  usage: RunUsage
  /** The container's id: 64 hexadecimal digits. */
  id: string
}
