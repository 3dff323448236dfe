// SPDX-License-Identifier: MIT
import type { Native } from '../launcher/native.ts'
import { kSlot } from '../plan/slots.ts'

/** Collects descriptors that go with a plan, and tells which slot each will fill. */
export class PlanDescriptors {
  readonly fds: number[] = []
  readonly #owned: number[] = []
  readonly #native: Native

  readonly #firstSlot: number

  constructor(native: Native, firstSlot: number = kSlot.secondPlan) {
    this.#native = native
    this.#firstSlot = firstSlot
  }

  /** Adds a descriptor that {@link close} closes. @returns its slot */
  own(fd: number): number {
    this.#owned.push(fd)
    return this.lend(fd)
  }

  /** Adds a descriptor that stays the caller's. @returns its slot */
  lend(fd: number): number {
    this.fds.push(fd)
    return this.#firstSlot + this.fds.length - 1
  }

  /** Closes what is owned: after the plan was sent, the child has its own copies. */
  close(): void {
    for (const fd of this.#owned.splice(0)) this.#native.close(fd)
  }
}
