// SPDX-License-Identifier: MIT
import type { Launcher } from '../launcher/launcher.ts'
import type { Supervision } from '../launcher/messages.ts'
import type { Native } from '../launcher/native.ts'
import { whenThereIsRoom } from '../runtime/when-there-is-room.ts'

/**
 * Hands a child that waits for its program to the launcher's supervisor, and waits until that has it: a program that ended before
 * would have no record of its end. See {@link Launcher.supervise}; the caller closes its descriptors.
 */
export async function superviseChild(
  { native, launcher }: { native: Native; launcher: Launcher },
  supervision: Supervision,
  fds: readonly number[],
): Promise<void> {
  const [ours, theirs] = native.socketPair()
  // The launcher closes its end, also by being killed: then the child is gone with it.
  const taken = new Promise<void>((resolve) => {
    new native.Watch(ours, resolve)
  })
  try {
    await whenThereIsRoom(() => launcher.supervise(supervision, [...fds, theirs]))
  } finally {
    native.close(theirs)
  }
  launcher.awaitAnswer(taken)
  await taken
}
