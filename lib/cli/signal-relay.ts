// SPDX-License-Identifier: MIT
import type { RunningProgram } from '../index.ts'
import type { Cli } from './cli.ts'
import { Interrupted } from './errors.ts'

/** As many signals that ask for an end make it end. */
const kPatience = 3
/** Nobody is there any more to ask again. */
const kHangUpTimeoutMs = 10_000
/** A program that writes when nobody reads gets SIGPIPE by itself, but may ignore it, as process 1 does. */
const kBrokenPipeTimeoutMs = 1_000

interface RelayFlags {
  readonly stopSignal?: string
  /** In seconds. */
  readonly stopTimeout?: number
}

/**
 * Passes signals on to a container, which may well ignore them: as process 1 it does unless it handles them. The third one that asks
 * for an end, or the time of `--stop-timeout` after the first, ends it by SIGKILL.
 */
export class SignalRelay {
  readonly #cli: Cli
  readonly #flags: RelayFlags
  readonly #killing = new AbortController()
  readonly #onAbort: () => void
  #stopForwarding: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #asked = 0

  constructor(cli: Cli, flags: RelayFlags) {
    this.#cli = cli
    this.#flags = flags
    this.#onAbort = () => this.#killing.abort(cli.signal.reason)
    if (cli.signal.aborted) this.#onAbort()
    else cli.signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** For the run: aborted when the container shall end by SIGKILL. */
  get signal(): AbortSignal {
    return this.#killing.signal
  }

  /** Signals go to the container from here on. */
  start(container: Pick<RunningProgram, 'kill'>): void {
    this.#stopForwarding = this.#cli.interrupts.forward((killSignal) => this.#onSignal(container, killSignal))
  }

  /** The container has ended. */
  stop(): void {
    this.#stopForwarding?.()
    this.#cli.signal.removeEventListener('abort', this.#onAbort)
    clearTimeout(this.#timer)
  }

  #onSignal(container: Pick<RunningProgram, 'kill'>, killSignal: NodeJS.Signals): void {
    const { stopSignal, stopTimeout } = this.#flags
    if (killSignal === 'SIGPIPE') {
      this.#killAfter(kBrokenPipeTimeoutMs, killSignal)
      return
    }
    container.kill(killSignal === 'SIGTERM' ? (stopSignal ?? killSignal) : killSignal)
    if (killSignal !== 'SIGINT' && killSignal !== 'SIGTERM' && killSignal !== 'SIGHUP') return
    this.#asked++
    if (this.#asked >= kPatience) this.#kill(killSignal)
    else if (this.#asked === kPatience - 1 && this.#cli.stderr.isTTY) {
      this.#cli.tell('\nwherry: the container has not ended; once more ends it by force')
    }
    const timeoutMs = stopTimeout === undefined ? undefined : stopTimeout * 1000
    const waitMs = timeoutMs ?? (killSignal === 'SIGHUP' ? kHangUpTimeoutMs : undefined)
    if (waitMs !== undefined) this.#killAfter(waitMs, killSignal)
  }

  #killAfter(waitMs: number, killSignal: NodeJS.Signals): void {
    this.#timer ??= setTimeout(() => this.#kill(killSignal), waitMs)
  }

  #kill(killSignal: NodeJS.Signals): void {
    this.#killing.abort(new Interrupted(killSignal))
  }
}
