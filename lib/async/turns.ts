// SPDX-License-Identifier: MIT

/** Those who wait for something of which there is not enough, first come first served. */
export class Turns {
  readonly #waiting: (() => void)[] = []

  /** Waits until it is one's turn to look again, or for an abort, which the caller looks after. */
  async wait(signal: AbortSignal | undefined): Promise<void> {
    let wake = (): void => {}
    await new Promise<void>((resolve) => {
      wake = resolve
      this.#waiting.push(wake)
      signal?.addEventListener('abort', wake, { once: true })
    })
    signal?.removeEventListener('abort', wake)
    const at = this.#waiting.indexOf(wake)
    if (at >= 0) this.#waiting.splice(at, 1)
    // It was one's turn, and one no longer wants it: the next in line gets it.
    else if (signal?.aborted === true) this.next()
  }

  /** Something has become free. */
  next(): void {
    this.#waiting.shift()?.()
  }

  /** There is no more to wait for. */
  all(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}
