// SPDX-License-Identifier: MIT
import type { Launcher } from '../launcher/launcher.ts'
import type { LauncherChild } from '../launcher/launcher-child.ts'
import type { ExecCgroup } from './exec-cgroup.ts'
import type { ExecTarget } from './exec-target.ts'

/** A process in a container that waits for its program. */
export interface ExecSlot {
  readonly child: LauncherChild
  readonly cgroup: ExecCgroup
}

/** Settings of {@link ExecSlots}. */
export interface ExecSlotOptions {
  /** Whether anything is prepared ahead. */
  enabled: boolean
  /** How long a process waits that nobody asks for. */
  idleMs: number
}

interface Shelf {
  ready: ExecSlot | undefined
  isMaking: boolean
  uses: number
  timer: NodeJS.Timeout | undefined
  /** Set after a failure: the container is ending, or has no room. */
  isBroken: boolean
}

const kUsesBeforePreparing = 2
/** With fewer processes allowed, the one that waits could be the one too many for the container's own. */
const kLeastPids = 64

/**
 * Keeps one process waiting in each container in which programs are run again and again: it is in all cgroups and namespaces
 * already, which is most of the work. It counts among the container's processes and can be seen in it.
 */
export class ExecSlots {
  readonly #launcher: Launcher
  readonly #options: ExecSlotOptions
  readonly #shelves = new Map<string, Shelf>()
  readonly #background = new Set<Promise<unknown>>()
  #isClosed = false

  constructor(launcher: Launcher, options: ExecSlotOptions) {
    this.#launcher = launcher
    this.#options = options
  }

  /** Takes the process that waits in a container; `undefined` where none does. */
  take(target: ExecTarget): ExecSlot | undefined {
    if (!this.#mayPrepare(target)) return undefined
    const key = keyOf(target)
    const shelf = this.#shelves.get(key) ?? this.#addShelf(key)
    shelf.uses++
    shelf.timer?.refresh()
    const slot = shelf.ready
    shelf.ready = undefined
    if (slot === undefined || !slot.child.ended) return slot
    this.#discard(slot)
    return undefined
  }

  /** Pid on the host of the process that waits in a container; `undefined` where none does. */
  waiting(target: ExecTarget): number | undefined {
    const child = this.#shelves.get(keyOf(target))?.ready?.child
    return child?.ended === false ? child.pid : undefined
  }

  /** Makes up for the one that was taken, in the background. */
  refill(target: ExecTarget, make: () => Promise<ExecSlot>): void {
    const key = keyOf(target)
    const shelf = this.#shelves.get(key)
    if (shelf === undefined || this.#isClosed || shelf.isBroken || shelf.isMaking || shelf.ready !== undefined) return
    // Most containers have a program run in them once, by a health check or by hand.
    if (shelf.uses < kUsesBeforePreparing) return
    shelf.isMaking = true
    this.#run(this.#fill(key, shelf, make))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.clear()
  }

  /** Ends what waits, and waits until it has ended. */
  async clear(): Promise<void> {
    for (const key of [...this.#shelves.keys()]) this.#drop(key)
    while (this.#background.size > 0) await Promise.all(this.#background)
  }

  #mayPrepare({ options }: ExecTarget): boolean {
    return this.#options.enabled && !this.#isClosed && (options.pids === null || options.pids >= kLeastPids)
  }

  #addShelf(key: string): Shelf {
    const timer = setTimeout(() => this.#drop(key), this.#options.idleMs)
    timer.unref()
    const shelf: Shelf = { ready: undefined, isMaking: false, uses: 0, timer, isBroken: false }
    this.#shelves.set(key, shelf)
    return shelf
  }

  async #fill(key: string, shelf: Shelf, make: () => Promise<ExecSlot>): Promise<void> {
    try {
      const slot = await make()
      if (this.#isClosed || this.#shelves.get(key) !== shelf) this.#discard(slot)
      else shelf.ready = slot
    } catch {
      // The next program meets the same error, and reports it.
      shelf.isBroken = true
    } finally {
      shelf.isMaking = false
    }
  }

  #drop(key: string): void {
    const shelf = this.#shelves.get(key)
    this.#shelves.delete(key)
    clearTimeout(shelf?.timer)
    if (shelf?.ready !== undefined) this.#discard(shelf.ready)
  }

  #discard({ child, cgroup }: ExecSlot): void {
    child.release()
    const remove = (): void => {
      if (cgroup.directory !== null) this.#launcher.remove([`r${cgroup.directory}`])
    }
    this.#run(child.exited.then(remove))
  }

  #run(work: Promise<unknown>): void {
    this.#background.add(work)
    void work.finally(() => this.#background.delete(work))
  }
}

function keyOf({ pid, startTimeTicks }: ExecTarget): string {
  return `${pid} ${startTimeTicks}`
}
