// SPDX-License-Identifier: MIT
import type { NetworkJoin } from './network-join.ts'
import type { ContainerPlace, Slot } from './slot.ts'
import type { SlotFactory, SlotProfile } from './slot-factory.ts'
import { SlotShelves } from './slot-shelves.ts'

/** Settings of {@link SlotPool}. */
export interface SlotPoolOptions {
  /** Prepared children kept per profile; 0 turns preparation ahead off. */
  size: number
  /** How long children of a profile that nobody asks for are kept. */
  idleMs: number
}

/**
 * Keeps prepared children, so that a container starts with its image only. A profile is prepared ahead from its second use on;
 * what nobody asks for ends after `idleMs`.
 */
export class SlotPool {
  readonly #factory: SlotFactory
  readonly #profiles = new Map<string, SlotProfile>()
  readonly #shelves: SlotShelves<Slot>

  constructor(factory: SlotFactory, options: SlotPoolOptions) {
    this.#factory = factory
    this.#shelves = new SlotShelves({
      ...options,
      // A leftover that cannot be removed now is the next repair's; it must not fail whoever got a result already.
      unmake: (slot) => factory.unmake(slot).catch(() => undefined),
      onDrop: (key) => this.#profiles.delete(key),
    })
  }

  /** Takes a prepared child, or makes one. */
  async take(key: string, makeProfile: () => SlotProfile): Promise<Slot> {
    const profile = this.#profiles.get(key) ?? makeProfile()
    this.#profiles.set(key, profile)
    const ready = this.#shelves.take(key)
    if (ready !== undefined) return ready
    const slot = await this.#factory.make(profile)
    this.#shelves.mend(key)
    return slot
  }

  /** Makes a child for a container that has a place of its own, or shares a network. */
  make(profile: SlotProfile, place: ContainerPlace | undefined, join?: NetworkJoin): Promise<Slot> {
    return this.#factory.make(profile, place, join)
  }

  /** Gives back a slot that was not started after all. */
  putBack(key: string, slot: Slot): void {
    this.#shelves.putBack(key, slot)
  }

  /** Makes up for what was taken. Called when the caller's container is under way, so that it does not compete with it. */
  refill(key: string): void {
    const profile = this.#profiles.get(key)
    if (profile !== undefined) this.#shelves.refill(key, () => this.#factory.make(profile))
  }

  /** Ends a slot in the background. */
  discard(slot: Slot): void {
    this.#shelves.discard(slot)
  }

  /** Waits until nothing is being made or removed. */
  settle(): Promise<void> {
    return this.#shelves.settle()
  }

  close(): Promise<void> {
    return this.#shelves.close()
  }
}
