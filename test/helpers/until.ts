// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'

const kPollMs = 10

/**
 * Waits until `condition` holds; fails after `timeoutMs`. For facts of other processes, which nothing here can await.
 * The time is what a busy machine may take, and says nothing of what is usual.
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, kPollMs))
  }
}
