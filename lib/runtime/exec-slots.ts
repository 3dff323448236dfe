// SPDX-License-Identifier: MIT
import { setTimeout as delay } from 'node:timers/promises'
import { orAborted } from '../async/or-aborted.ts'
import type { Launcher } from '../launcher/launcher.ts'
import type { LauncherChild } from '../launcher/launcher-child.ts'
import type { ExecCgroup } from './exec-cgroup.ts'
import type { ExecTarget } from './exec-target.ts'
import { SlotShelves } from './slot-shelves.ts'

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

/** A container's first process. */
type Process = Pick<ExecTarget, 'pid' | 'startTimeTicks'>

/** With fewer processes allowed, the one that waits could be the one too many for the container's own. */
const kLeastPids = 64
/** What is frozen by the freezer of cgroup v1 dies only when it goes on. */
const kEndTimeoutMs = 1_000
const kSigkill = 9

/**
 * Keeps one process waiting in each container in which programs are run again and again: it is in all cgroups and namespaces
 * already, which is most of the work. It counts among the container's processes and can be seen in it.
 */
export class ExecSlots {
  readonly #launcher: Launcher
  readonly #isEnabled: boolean
  readonly #shelves: SlotShelves<ExecSlot>

  constructor(launcher: Launcher, { enabled, idleMs }: ExecSlotOptions) {
    this.#launcher = launcher
    this.#isEnabled = enabled
    this.#shelves = new SlotShelves({ size: 1, idleMs, unmake: (slot) => this.#unmake(slot) })
  }

  /** Takes the process that waits in a container; `undefined` where none does. */
  take(target: Process & { readonly options: Pick<ExecTarget['options'], 'pids'> }): ExecSlot | undefined {
    const { pids } = target.options
    const mayPrepare = this.#isEnabled && !this.#shelves.isClosed && (pids === null || pids >= kLeastPids)
    return mayPrepare ? this.#shelves.take(keyOf(target)) : undefined
  }

  /** Pid on the host of the process that waits in a container; `undefined` where none does. */
  waiting(target: Process): number | undefined {
    return this.#shelves.waiting(keyOf(target))[0]?.child.pid
  }

  /**
   * Makes up for the one that was taken, in the background.
   *
   * @param make - starts the process, and resolves at once
   */
  refill(target: Process, make: () => Promise<ExecSlot>): void {
    this.#shelves.refill(keyOf(target), async (dropped) => {
      const slot = await make()
      try {
        // In a container that is frozen nothing gets prepared.
        await orAborted(slot.child.prepared, dropped)
        return slot
      } catch (error) {
        this.discard(slot)
        throw error
      }
    })
  }

  /** Ends a process that was taken and has no program, in the background. */
  discard(slot: ExecSlot): void {
    this.#shelves.discard(slot)
  }

  close(): Promise<void> {
    return this.#shelves.close()
  }

  /** Ends what waits, and waits until it has ended, but for what is frozen. */
  clear(): Promise<void> {
    return this.#shelves.clear()
  }

  async #unmake({ child, cgroup }: ExecSlot): Promise<void> {
    // Let go it would end too, but not while the container has stopped or frozen it.
    child.kill(kSigkill)
    const ended = endOf(child).then(() => {
      child.release()
      if (cgroup.directory !== null) this.#launcher.remove([`r${cgroup.directory}`])
    })
    const patience = new AbortController()
    const late = delay(kEndTimeoutMs, undefined, { signal: patience.signal }).catch(() => undefined)
    await Promise.race([ended, late])
    patience.abort()
  }
}

async function endOf(child: LauncherChild): Promise<void> {
  await child.prepared.catch(() => undefined)
  // What never became a process has no end that would be told.
  if (child.pid !== 0) await child.exited
}

function keyOf({ pid, startTimeTicks }: Process): string {
  return `${pid} ${startTimeTicks}`
}
