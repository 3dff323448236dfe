// SPDX-License-Identifier: MIT
import { readFile } from 'node:fs/promises'
import { isErrno } from '../store/atomic.ts'

/** What `/proc/<pid>/stat` says of a process. */
export interface ProcessStatus {
  /** Whether it has ended and waits for its parent. */
  readonly isZombie: boolean
  readonly parent: number
  /** Clock ticks since boot. */
  readonly startTimeTicks: number
}

/**
 * Looks at a process.
 *
 * @returns `undefined` where there is none.
 * @source man 5 proc, /proc/[pid]/stat
 */
export async function processStatus(pid: number): Promise<ProcessStatus | undefined> {
  try {
    return parseProcessStat(await readFile(`/proc/${pid}/stat`, 'latin1'))
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}

/** Reads the text of `/proc/<pid>/stat`. */
export function parseProcessStat(text: string): ProcessStatus {
  // The second field is the command in parentheses, and may contain anything, parentheses too.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const isZombie = fields[0] === 'Z' || fields[0] === 'X'
  return { isZombie, parent: Number(fields[1]), startTimeTicks: Number(fields[19]) }
}

/** Whether a process is a launcher. */
export async function isLauncher(pid: number): Promise<boolean> {
  try {
    return (await readFile(`/proc/${pid}/comm`, 'latin1')) === 'wherry-launcher\n'
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return false
    throw error
  }
}
