// SPDX-License-Identifier: MIT
import { orAborted } from './or-aborted.ts'

/** Work whose outcome several wait for. It does not end with the first of them that gives up, but with the last. */
export class SharedWork<T> {
  readonly #stopping = new AbortController()
  readonly #outcome: Promise<T>
  #waiting = 0
  #state: 'running' | 'done' | 'over' = 'running'

  /** @param work - started at once; its signal is aborted when nobody waits any more. */
  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.#outcome = work(this.#stopping.signal)
    this.#outcome.then(
      () => {
        this.#state = 'done'
      },
      () => {
        this.#state = 'over'
      },
    )
  }

  /** Whether it has failed, or everybody gave up: whoever comes now begins anew. */
  get isOver(): boolean {
    return this.#state === 'over'
  }

  /** The outcome, or the signal's reason if that comes first. */
  async wait(signal: AbortSignal | undefined): Promise<T> {
    this.#waiting += 1
    try {
      return await orAborted(this.#outcome, signal)
    } finally {
      this.#waiting -= 1
      if (this.#waiting === 0 && this.#state === 'running') {
        this.#state = 'over'
        this.#stopping.abort(signal?.reason)
      }
    }
  }
}
