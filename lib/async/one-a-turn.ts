// SPDX-License-Identifier: MIT

/**
 * Spreads pieces of work that hold up the event loop for about a millisecond each: many at once come one in a turn of the loop, so
 * that timers and input of the embedding program get in between. Whoever comes alone does not wait.
 */
export class OneATurn {
  readonly #waiting: (() => void)[] = []
  #isTaken = false

  /** Waits for a turn of the event loop in which nobody has had it yet. */
  async next(): Promise<void> {
    if (this.#isTaken) return new Promise((resolve) => this.#waiting.push(resolve))
    this.#take()
  }

  #take(): void {
    this.#isTaken = true
    setImmediate(() => {
      this.#isTaken = false
      const resolve = this.#waiting.shift()
      if (resolve === undefined) return
      this.#take()
      resolve()
    })
  }
}
