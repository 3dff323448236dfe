// SPDX-License-Identifier: MIT
import type { ContainerPlace, Slot } from './slot.ts'
import type { SlotFactory, SlotProfile } from './slot-factory.ts'

/** Settings of {@link SlotPool}. */
export interface SlotPoolOptions {
  /** Prepared children kept per profile; 0 turns preparation ahead off. */
  size: number
  /** How long children of a profile that nobody asks for are kept. */
  idleMs: number
}

const kUsesBeforePreparing = 2

interface Shelf {
  profile: SlotProfile
  ready: Slot[]
  making: number
  uses: number
  timer: NodeJS.Timeout | undefined
  /** Set after a failure: no more are made ahead until one was made on demand. */
  broken: boolean
}

/**
 * Keeps prepared children, so that a container starts with its image only. A profile is prepared ahead from its second use on;
 * what nobody asks for ends after `idleMs`.
 */
export class SlotPool {
  readonly #factory: SlotFactory
  readonly #options: SlotPoolOptions
  readonly #shelves = new Map<string, Shelf>()
  readonly #background = new Set<Promise<unknown>>()
  #closed = false

  constructor(factory: SlotFactory, options: SlotPoolOptions) {
    this.#factory = factory
    this.#options = options
  }

  /** Takes a prepared child, or makes one. Refills behind the caller's back. */
  async take(key: string, makeProfile: () => SlotProfile): Promise<Slot> {
    const shelf = this.#shelves.get(key) ?? this.#addShelf(key, makeProfile())
    shelf.uses++
    this.#keepAlive(key, shelf)
    for (let slot = shelf.ready.pop(); slot !== undefined; slot = shelf.ready.pop()) {
      if (!slot.child.ended) return slot
      this.#discard(slot)
    }
    const slot = await this.#factory.make(shelf.profile)
    shelf.broken = false
    return slot
  }

  /** Makes a child for a container that has a place of its own. */
  make(profile: SlotProfile, place: ContainerPlace): Promise<Slot> {
    return this.#factory.make(profile, place)
  }

  /** Gives back a slot that was not started after all. */
  putBack(key: string, slot: Slot): void {
    const shelf = this.#shelves.get(key)
    if (shelf === undefined || this.#closed || this.#options.size === 0) {
      this.#discard(slot)
    } else {
      shelf.ready.push(slot)
      this.#keepAlive(key, shelf)
    }
  }

  /** Makes up for what was taken. Called when the caller's container is under way, so that it does not compete with it. */
  refill(key: string): void {
    const shelf = this.#shelves.get(key)
    if (shelf === undefined || this.#closed || this.#options.size === 0) return
    // What is used once, such as a container with a host name of its own, is not prepared for.
    if (shelf.uses < kUsesBeforePreparing) return
    while (!shelf.broken && shelf.ready.length + shelf.making < this.#options.size) {
      shelf.making++
      this.#run(this.#makeOne(key, shelf))
    }
  }

  /** Ends a slot in the background: nobody waits for directories to be removed. */
  discard(slot: Slot): void {
    this.#discard(slot)
  }

  /** Waits until nothing is being made or removed. */
  async settle(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.settle()
    for (const [key, shelf] of this.#shelves) this.#drop(key, shelf)
    await this.settle()
  }

  #addShelf(key: string, profile: SlotProfile): Shelf {
    const shelf: Shelf = { profile, ready: [], making: 0, uses: 0, timer: undefined, broken: false }
    this.#shelves.set(key, shelf)
    return shelf
  }

  async #makeOne(key: string, shelf: Shelf): Promise<void> {
    try {
      const slot = await this.#factory.make(shelf.profile)
      if (this.#closed || this.#shelves.get(key) !== shelf) this.#discard(slot)
      else shelf.ready.push(slot)
    } catch {
      // The next container of this profile meets the same error, and reports it.
      shelf.broken = true
    } finally {
      shelf.making--
    }
  }

  #keepAlive(key: string, shelf: Shelf): void {
    if (shelf.timer !== undefined) {
      shelf.timer.refresh()
      return
    }
    shelf.timer = setTimeout(() => {
      this.#drop(key, shelf)
    }, this.#options.idleMs)
    shelf.timer.unref()
  }

  #drop(key: string, shelf: Shelf): void {
    clearTimeout(shelf.timer)
    if (this.#shelves.get(key) === shelf) this.#shelves.delete(key)
    for (const slot of shelf.ready.splice(0)) this.#discard(slot)
  }

  #discard(slot: Slot): void {
    // A leftover that cannot be removed now is the next repair's; it must not fail whoever got a result already.
    this.#run(this.#factory.unmake(slot).catch(() => undefined))
  }

  #run(work: Promise<unknown>): void {
    this.#background.add(work)
    void work.finally(() => this.#background.delete(work))
  }
}
