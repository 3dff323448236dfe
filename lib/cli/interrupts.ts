// SPDX-License-Identifier: MIT
import { Interrupted, signalExitCode } from './errors.ts'

const kEnding = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** Further signals that a container gets. */
const kForwarded = ['SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const

/** Signals that this process gets: they end the work once, and the process at the second time, or go to a container. */
export class Interrupts {
  readonly #controller = new AbortController()
  #forward: ((killSignal: NodeJS.Signals) => void) | undefined

  /** Starts to listen, for as long as the process lives. */
  constructor() {
    for (const name of kEnding) process.on(name, () => this.#onSignal(name))
  }

  /** Aborted, with an {@link Interrupted} as its reason, by the first signal that nobody takes. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Hands signals to a container from here on. @returns what ends that. */
  forward(to: (killSignal: NodeJS.Signals) => void): () => void {
    const listeners = kForwarded.map((name) => ({ name, listener: (): void => this.#onSignal(name) }))
    this.#forward = to
    for (const { name, listener } of listeners) process.on(name, listener)
    return () => {
      this.#forward = undefined
      for (const { name, listener } of listeners) process.off(name, listener)
    }
  }

  /** Ends the work as a signal would, or hands it to the container. */
  abort(killSignal: NodeJS.Signals): void {
    if (this.#forward !== undefined) this.#forward(killSignal)
    else this.#controller.abort(new Interrupted(killSignal))
  }

  #onSignal(name: NodeJS.Signals): void {
    if (this.#forward !== undefined) this.#forward(name)
    else if (!this.signal.aborted) this.abort(name)
    // Whoever asks twice does not want to wait for cleaning up; the next engine does that.
    else process.exit(signalExitCode(name))
  }
}
