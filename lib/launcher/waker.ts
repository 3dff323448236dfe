// SPDX-License-Identifier: MIT

/** What takes longer is looked after; most answers come within a millisecond. */
const kPatienceMs = 500

/**
 * Lets a process go on that somebody has stopped (SIGSTOP), as long as its answer is waited for: we must not be stopped by that too.
 * SIGCONT does nothing to a process that runs.
 */
export class Waker {
  readonly #pid: number
  #awaited = 0
  #timer: NodeJS.Timeout | undefined

  constructor(pid: number) {
    this.#pid = pid
  }

  /** @param answer - what comes from the process; settles in any case when that is gone */
  while(answer: Promise<unknown>): void {
    this.#awaited++
    this.#timer ??= setInterval(() => letGoOn(this.#pid), kPatienceMs).unref()
    const settled = (): void => {
      if (--this.#awaited === 0) this.close()
    }
    answer.then(settled, settled)
  }

  /** The process is gone: its number may be another's. */
  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

/** Sends SIGCONT. A process that is gone, or another user's, is no error. */
export function letGoOn(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT')
  } catch {
    // Nothing can be done about it here; whoever waits goes on waiting.
  }
}
