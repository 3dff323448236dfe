// SPDX-License-Identifier: MIT
import { readdir, readFile } from 'node:fs/promises'
import type { Native } from '../launcher/native.ts'

/** Where a process stands among the others. */
export interface ProcessPlace {
  readonly pid: number
  readonly parent: number
  /** Pid of the session's leader. */
  readonly session: number
  /** Clock ticks since boot. */
  readonly startTimeTicks: number
}

const kSigkill = 9

/**
 * Processes of a session, and what they have started that has left it, as long as the line of parents is whole; without the leader
 * itself. Pure.
 */
export function treeOf(leader: number, places: readonly ProcessPlace[]): ProcessPlace[] {
  const found = new Set([leader])
  for (let before = 0; before !== found.size; ) {
    before = found.size
    for (const { pid, parent, session } of places) {
      if (session === leader || found.has(parent)) found.add(pid)
    }
  }
  return places.filter(({ pid }) => pid !== leader && found.has(pid))
}

/**
 * Kills what {@link treeOf} finds, until there is nothing new. The leader, which is the caller's, must be there until then.
 *
 * @param leader - above 1
 */
export async function killTree(native: Native, leader: number): Promise<void> {
  const seen = new Set<string>()
  for (;;) {
    const fresh = treeOf(leader, await readPlaces()).filter((place) => !seen.has(keyOf(place)))
    if (fresh.length === 0) return
    for (const place of fresh) {
      seen.add(keyOf(place))
      await killPlace(native, place)
    }
  }
}

function keyOf({ pid, startTimeTicks }: ProcessPlace): string {
  return `${pid} ${startTimeTicks}`
}

async function killPlace(native: Native, { pid, startTimeTicks }: ProcessPlace): Promise<void> {
  let fd: number | undefined
  try {
    fd = native.pidfdOpen(pid)
    // With the descriptor in hand the pid cannot change hands any more: now is the time to look whose it is.
    if ((await readPlace(pid))?.startTimeTicks === startTimeTicks) native.pidfdSendSignal(fd, kSigkill)
  } catch {
    // It has ended, or belongs to a user whom we may not signal.
  } finally {
    if (fd !== undefined) native.close(fd)
  }
}

/** The place of every process that this one can see. */
async function readPlaces(): Promise<ProcessPlace[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const places = await Promise.all(pids.map((pid) => readPlace(Number(pid))))
  return places.filter((place) => place !== undefined)
}

async function readPlace(pid: number): Promise<ProcessPlace | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'latin1')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { pid, parent: Number(fields[1]), session: Number(fields[3]), startTimeTicks: Number(fields[19]) }
  } catch {
    // It has ended meanwhile.
    return undefined
  }
}
