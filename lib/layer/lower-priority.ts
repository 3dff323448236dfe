// SPDX-License-Identifier: MIT
import { setPriority } from 'node:os'

/** Gives way to others at about 1 to 3, and still gets on where they never stop. */
const kNice = 5

/**
 * Lets the calling thread, and no other of the process, give way: where processors are scarce, the event loop of the embedding
 * program comes first. (Linux has priorities per thread, and 0 means the caller's.)
 *
 * @source setpriority(2), "C library/kernel differences"
 */
export function lowerThreadPriority(): void {
  try {
    setPriority(0, kNice)
  } catch {
    // A sandbox may refuse it; all works without.
  }
}
