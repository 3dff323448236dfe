// SPDX-License-Identifier: MIT
import { type EndParts, isLive, waitForEnd } from './end-stored.ts'

/** Sees to it that ends of containers are told also where their owners are gone, as long as somebody wants to hear of them. */
export class EndWatcher {
  readonly #parts: EndParts
  readonly #signal: AbortSignal
  /** By id; whether it may have been started again since we looked. */
  readonly #watched = new Map<string, { again: boolean }>()

  /** @param signal - ends it */
  constructor(parts: EndParts, signal: AbortSignal) {
    this.#parts = parts
    this.#signal = signal
  }

  /** Watches all containers that run. */
  async watchAll(): Promise<void> {
    for (const stored of await this.#parts.containers.list()) {
      if (isLive(stored) || stored.ended !== undefined) this.watch(stored.record.id)
    }
  }

  /** Watches one until it has ended; also one that is started again while its last end is being told. */
  watch(id: string): void {
    const known = this.#watched.get(id)
    if (known !== undefined) known.again = true
    else void this.#untilEnded(id)
  }

  async #untilEnded(id: string): Promise<void> {
    const own = { again: false }
    this.#watched.set(id, own)
    try {
      do {
        own.again = false
        await waitForEnd(this.#parts, id, { signal: this.#signal })
        await this.#parts.containers.settleEnd(id)
      } while (own.again)
    } catch {
      // It has been removed, or nobody listens any more.
    } finally {
      this.#watched.delete(id)
    }
  }
}
