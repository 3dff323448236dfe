// SPDX-License-Identifier: MIT
import { setTimeout as delay } from 'node:timers/promises'

/** A promise that settles in time, or the test fails instead of hanging. */
export async function within<T>(work: Promise<T>, what: string, timeoutMs = 30_000): Promise<T> {
  const timer = new AbortController()
  const late = delay(timeoutMs, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`not within ${timeoutMs} ms: ${what}`)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    timer.abort()
    late.catch(() => undefined)
  }
}
