// SPDX-License-Identifier: MIT
import { processStatus } from '../host/process-status.ts'
import type { Native } from '../launcher/native.ts'
import { isErrno } from '../store/atomic.ts'
import type { ContainerState } from './record.ts'

/**
 * Opens the first process of a container.
 *
 * @returns a pidfd that the caller closes; `undefined` where that process has ended, also when its number is another's by now.
 */
export async function openFirstProcess(
  native: Native,
  { pid, startTimeTicks }: Pick<ContainerState, 'pid' | 'startTimeTicks'>,
): Promise<number | undefined> {
  if (pid === null) return undefined
  let fd: number
  try {
    fd = native.pidfdOpen(pid)
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return undefined
    throw error
  }
  try {
    // With the descriptor in hand the pid cannot change hands any more: now is the time to look whose it is.
    const found = await processStatus(pid)
    if (found?.isZombie === false && (startTimeTicks === null || found.startTimeTicks === startTimeTicks)) return fd
  } catch (error) {
    native.close(fd)
    throw error
  }
  native.close(fd)
  return undefined
}
