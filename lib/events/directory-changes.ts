// SPDX-License-Identifier: MIT
import { type FSWatcher, watch } from 'node:fs'
import { orAborted } from '../async/or-aborted.ts'

/** How often is looked where nothing is told: file systems and limits of the kernel may keep changes to themselves. */
const kPollMs = 500

/** Tells that something may have changed in a directory. Keeps the process alive, as whoever waits for it expects. */
export class DirectoryChanges {
  readonly #dir: string
  readonly #concerns: (name: string) => boolean
  readonly #timer: NodeJS.Timeout
  #watcher: FSWatcher | undefined
  #changed = false
  #wake = (): void => {}

  /** @param concerns - whether a change of a file in it is told; all are unless it is given. */
  constructor(dir: string, concerns: (name: string) => boolean = () => true) {
    this.#dir = dir
    this.#concerns = concerns
    this.#timer = setInterval(() => this.#onPoll(), kPollMs)
    this.#watch()
  }

  /** Waits for a change since the last call. @throws `signal.reason` on abort. */
  async next(signal: AbortSignal | undefined): Promise<void> {
    if (!this.#changed) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      await orAborted(woken, signal)
    }
    this.#changed = false
  }

  close(): void {
    clearInterval(this.#timer)
    this.#watcher?.close()
    this.#onChange()
  }

  #onPoll(): void {
    if (this.#watcher === undefined) this.#watch()
    this.#onChange()
  }

  #onChange(): void {
    this.#changed = true
    this.#wake()
  }

  #watch(): void {
    try {
      const watcher = watch(this.#dir, (_, name) => {
        // Without a name it may be any.
        if (name === null || this.#concerns(name)) this.#onChange()
      })
      watcher.on('error', () => {
        watcher.close()
        if (this.#watcher === watcher) this.#watcher = undefined
      })
      this.#watcher = watcher
    } catch {
      // It is not there yet, or there are too many watches: the next poll tries again.
    }
  }
}
