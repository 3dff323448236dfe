// SPDX-License-Identifier: MIT
import { setTimeout as delay } from 'node:timers/promises'
import { debuglog } from 'node:util'
import { withLinkedSignal } from '../async/linked-signal.ts'
import { NotFoundError } from '../errors.ts'
import { returnsWithHost } from '../options/restart-policy.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { readBootId } from '../store/container-state.ts'
import type { StoredContainer } from './container-store.ts'
import { type EndParts, isLive, waitForEnd } from './end-stored.ts'
import { restartStored, startStored } from './start-stored.ts'

const debug = debuglog('wherry-attendant')
/** After something failed that has nothing to do with the container. */
const kRetryMs = 1_000

/** What an attendant needs. */
export interface AttendantParts extends EndParts {
  readonly runtime: () => Promise<Runtime>
  /** Looks whether a container is well, until the signal is aborted. */
  readonly watchHealth: (stored: StoredContainer, signal: AbortSignal) => Promise<void>
}

/**
 * Looks after containers that are not left to themselves: looks whether they are well, and starts them again by their policy. The process that started a container does
 * so, or for those that are detached, the one attendant of the root.
 */
export class Attendant {
  readonly #parts: AttendantParts
  readonly #isOurs: (stored: StoredContainer) => boolean
  readonly #stop = new AbortController()
  /** Containers that are attended, each with what makes it be looked at anew. */
  readonly #attended = new Map<string, { waker: Waker; done: Promise<void> }>()

  /** @param isOurs - whether a container is for this attendant */
  constructor(parts: AttendantParts, isOurs: (stored: StoredContainer) => boolean) {
    this.#parts = parts
    this.#isOurs = isOurs
  }

  /** Resolves when nothing is attended any more. */
  async idle(): Promise<void> {
    while (this.#attended.size > 0) await Promise.all([...this.#attended.values()].map(({ done }) => done))
  }

  /** How many containers are attended. */
  get count(): number {
    return this.#attended.size
  }

  /** Attends a container from now on, until it has ended for good; one that is attended is looked at anew. */
  attend(id: string): void {
    if (this.#stop.signal.aborted) return
    const known = this.#attended.get(id)
    if (known !== undefined) {
      known.waker.wake()
      return
    }
    const waker = new Waker()
    this.#attended.set(id, { waker, done: this.#attend(id, waker) })
  }

  /** Lets go of all; they stay as they are. */
  async close(): Promise<void> {
    this.#stop.abort(new Error('The attendant ends.'))
    await this.idle()
  }

  async #attend(id: string, waker: Waker): Promise<void> {
    const { signal } = this.#stop
    // Now we are in the list, whatever comes first.
    await Promise.resolve()
    while (!signal.aborted) {
      waker.reset()
      try {
        // Between the last look and this moment it may have been started again.
        if (!(await this.#oneStep(id, waker)) && !waker.isWoken) break
      } catch (error) {
        if (signal.aborted || error instanceof NotFoundError) break
        debug('%s: %s', id, error)
        await delay(kRetryMs, undefined, { signal }).catch(() => undefined)
      }
    }
    // At once with the decision: who comes later finds that it is attended no more.
    this.#attended.delete(id)
  }

  /** @returns whether there is more to attend. */
  async #oneStep(id: string, waker: Waker): Promise<boolean> {
    const { containers } = this.#parts
    const stored = await containers.settleEnd(id)
    if (!this.#isOurs(stored)) return false
    const { signal } = this.#stop
    if (isLive(stored)) {
      await this.#attendRun(stored, signal)
      return true
    }
    if (stored.state.status === 'exited' && returnsWithHost(stored.state.restart, await readBootId())) {
      await startStored(containers, await this.#parts.runtime(), id)
      return true
    }
    if (stored.state.status !== 'restarting') return false
    const leftMs = (stored.state.restart?.dueMs ?? 0) - Date.now()
    if (leftMs > 0) await waker.sleep(leftMs, signal)
    if (leftMs <= 0) await this.#restart(id, stored)
    return true
  }

  /** Until it has ended. */
  async #attendRun(stored: StoredContainer, signal: AbortSignal): Promise<void> {
    const over = new AbortController()
    await withLinkedSignal(signal, over, async () => {
      const health = this.#parts
        .watchHealth(stored, over.signal)
        .catch((error: unknown) => debug('%s: health: %s', stored.record.id, error))
      try {
        await waitForEnd(this.#parts, stored.record.id, { signal, pid: stored.state.pid })
      } finally {
        over.abort(new Error('The container has ended.'))
        await health
      }
    })
  }

  async #restart(id: string, stored: StoredContainer): Promise<void> {
    await restartStored(this.#parts.containers, await this.#parts.runtime(), id, stored.state.restart?.dueMs ?? null)
  }
}

/** A sleep that may be cut short, also before it has begun. */
class Waker {
  #controller = new AbortController()

  /** Whether it was woken since {@link reset}. */
  get isWoken(): boolean {
    return this.#controller.signal.aborted
  }

  reset(): void {
    this.#controller = new AbortController()
  }

  wake(): void {
    this.#controller.abort()
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { signal: woken } = this.#controller
    const both = new AbortController()
    await withLinkedSignal(signal, both, () =>
      withLinkedSignal(woken, both, () => delay(ms, undefined, { signal: both.signal }).catch(() => undefined)),
    )
  }
}
