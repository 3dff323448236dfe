// SPDX-License-Identifier: MIT
import { type EndParts, isLive, waitForEnd } from './end-stored.ts'

/** Sees to it that ends of containers are told also where their owners are gone, as long as somebody wants to hear of them. */
export class EndWatcher {
  readonly #parts: EndParts
  readonly #signal: AbortSignal
  readonly #watched = new Set<string>()

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

  /** Watches one until it has ended. */
  watch(id: string): void {
    if (this.#watched.has(id)) return
    this.#watched.add(id)
    const { containers } = this.#parts
    void waitForEnd(this.#parts, id, { signal: this.#signal })
      .then(() => containers.settleEnd(id))
      // It has been removed, or nobody listens any more.
      .catch(() => undefined)
      .finally(() => this.#watched.delete(id))
  }
}
