// SPDX-License-Identifier: MIT
import type { Readable, Writable } from 'node:stream'
import { InvalidOptionError } from './errors.ts'
import { parseSignal } from './oci/signals.ts'
import type { RunUsage } from './run-result.ts'
import type { SpawnedExec } from './runtime/exec-spawn.ts'

/** How a program in a container ended. */
export interface ContainerProcessExit {
  /** `null` when a signal ended it. */
  readonly exitCode: number | null
  readonly killSignal: string | null
  readonly oomKilled: boolean
  /** Whether `timeoutMs` was up. */
  readonly timedOut: boolean
  /** From the start of the program to its end, in milliseconds. */
  readonly durationMs: number
  readonly usage: RunUsage
}

/** A program that {@link Container.spawn} has started in a running container; much like a `ChildProcess`. */
export class ContainerProcess {
  readonly #spawned: SpawnedExec

  /** @internal */
  constructor(spawned: SpawnedExec) {
    this.#spawned = spawned
  }

  /** Of the process on the host. */
  get pid(): number {
    return this.#spawned.pid
  }

  /** `null` unless `stdin` is `'pipe'`, or there is a terminal. */
  get stdin(): Writable | null {
    return this.#spawned.stdin
  }

  /** `null` unless it is a pipe. With a terminal everything comes here. */
  get stdout(): Readable | null {
    return this.#spawned.stdout
  }

  get stderr(): Readable | null {
    return this.#spawned.stderr
  }

  /**
   * Sends a signal to the program. One that has ended is no error.
   *
   * @param killSignal - `'SIGTERM'`, `'TERM'` or 15. @default 'SIGTERM'
   * @throws {InvalidOptionError}
   */
  kill(killSignal: string | number = 'SIGTERM'): void {
    const number = parseSignal(killSignal)
    if (number === undefined) throw new InvalidOptionError('killSignal', "a signal such as 'SIGTERM' or 15", killSignal)
    this.#spawned.kill(number)
  }

  /** Sets the size of its terminal, in characters; nothing without one. @throws {InvalidOptionError} */
  resize(size: { rows: number; columns: number }): void {
    for (const name of ['rows', 'columns'] as const) {
      const value = size?.[name]
      if (!Number.isInteger(value) || value < 0 || value > 65_535) {
        throw new InvalidOptionError(`size.${name}`, 'a whole number from 0 to 65535', value)
      }
    }
    this.#spawned.resize(size.rows, size.columns)
  }

  /** Waits for the end of the program, whatever it is. Rejects with `signal.reason` when the call to spawn was aborted. */
  async wait(): Promise<ContainerProcessExit> {
    const { exit, killSignal, oomKilled, stopped, durationMs } = await this.#spawned.exited
    const { exitCode, userMicros, systemMicros, maxRssBytes } = exit
    const usage = { cpuMicros: userMicros + systemMicros, userMicros, systemMicros, maxRssBytes }
    return { exitCode, killSignal, oomKilled, timedOut: stopped === 'timeout', durationMs, usage }
  }
}
