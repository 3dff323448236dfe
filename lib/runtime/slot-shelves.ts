// SPDX-License-Identifier: MIT

/** Settings of {@link SlotShelves}. */
export interface ShelvesOptions<T> {
  /** How many wait for each key. */
  readonly size: number
  /** How long they wait for a key that nobody asks for. */
  readonly idleMs: number
  /** Ends what is not needed. Never rejects. */
  readonly unmake: (slot: T) => Promise<void>
  /** Called when a key is forgotten. */
  readonly onDrop?: (key: string) => void
}

interface Shelf<T> {
  readonly ready: T[]
  making: number
  uses: number
  readonly timer: NodeJS.Timeout
  /** Aborted when nobody wants what is being made any more. */
  readonly dropped: AbortController
  /** Set after a failure: no more are made ahead. */
  isBroken: boolean
}

const kUsesBeforePreparing = 2

/** Children that wait for what they are to run, by what they can run. A key is prepared for from its second use on. */
export class SlotShelves<T extends { readonly child: { readonly ended: boolean } }> {
  readonly #options: ShelvesOptions<T>
  readonly #shelves = new Map<string, Shelf<T>>()
  readonly #background = new Set<Promise<unknown>>()
  #isClosed = false

  constructor(options: ShelvesOptions<T>) {
    this.#options = options
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Takes one that waits; `undefined` where none does. Counts as a use of the key. */
  take(key: string): T | undefined {
    const shelf = this.#shelves.get(key) ?? this.#add(key)
    shelf.uses++
    shelf.timer.refresh()
    for (let slot = shelf.ready.pop(); slot !== undefined; slot = shelf.ready.pop()) {
      if (!slot.child.ended) return slot
      this.discard(slot)
    }
    return undefined
  }

  /** Those that wait. */
  waiting(key: string): readonly T[] {
    return this.#shelves.get(key)?.ready.filter(({ child }) => !child.ended) ?? []
  }

  /** Gives back what was not used after all. */
  putBack(key: string, slot: T): void {
    const shelf = this.#shelves.get(key)
    if (shelf === undefined || this.#isClosed || this.#options.size === 0) {
      this.discard(slot)
    } else {
      shelf.ready.push(slot)
      shelf.timer.refresh()
    }
  }

  /** One was made on demand: it is worth trying again to make some ahead. */
  mend(key: string): void {
    const shelf = this.#shelves.get(key)
    if (shelf !== undefined) shelf.isBroken = false
  }

  /**
   * Makes up for what was taken, in the background.
   *
   * @param make - its signal is aborted when nobody wants the outcome any more
   */
  refill(key: string, make: (dropped: AbortSignal) => Promise<T>): void {
    const shelf = this.#shelves.get(key)
    // What is used once, such as a container with a host name of its own, is not prepared for.
    if (shelf === undefined || this.#isClosed || shelf.uses < kUsesBeforePreparing) return
    while (!shelf.isBroken && shelf.ready.length + shelf.making < this.#options.size) {
      shelf.making++
      this.#run(this.#fill(shelf, make))
    }
  }

  /** Ends one in the background: nobody waits for directories to be removed. */
  discard(slot: T): void {
    this.#run(this.#options.unmake(slot))
  }

  /** Waits until nothing is being made or ended. */
  async settle(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background)
  }

  /** Ends what waits, and waits until it has ended. */
  async clear(): Promise<void> {
    for (const key of [...this.#shelves.keys()]) this.#drop(key)
    await this.settle()
  }

  close(): Promise<void> {
    this.#isClosed = true
    return this.clear()
  }

  #add(key: string): Shelf<T> {
    const timer = setTimeout(() => this.#drop(key), this.#options.idleMs).unref()
    const shelf = { ready: [], making: 0, uses: 0, timer, dropped: new AbortController(), isBroken: false }
    this.#shelves.set(key, shelf)
    return shelf
  }

  async #fill(shelf: Shelf<T>, make: (dropped: AbortSignal) => Promise<T>): Promise<void> {
    try {
      const slot = await make(shelf.dropped.signal)
      if (shelf.dropped.signal.aborted) this.discard(slot)
      else shelf.ready.push(slot)
    } catch {
      // The next one that is made on demand meets the same error, and reports it.
      shelf.isBroken = true
    } finally {
      shelf.making--
    }
  }

  #drop(key: string): void {
    const shelf = this.#shelves.get(key)
    if (shelf === undefined) return
    this.#shelves.delete(key)
    clearTimeout(shelf.timer)
    shelf.dropped.abort()
    for (const slot of shelf.ready) this.discard(slot)
    this.#options.onDrop?.(key)
  }

  #run(work: Promise<unknown>): void {
    this.#background.add(work)
    void work.finally(() => this.#background.delete(work))
  }
}
