// SPDX-License-Identifier: MIT
import { TimeoutError } from '../errors.ts'
import { withLinkedSignal } from './linked-signal.ts'

/** Runs `work` with a signal that is aborted by the caller's, and with a {@link TimeoutError} when the time is up. */
export async function withDeadline<T>(
  what: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stopping = new AbortController()
  const timer = setTimeout(() => stopping.abort(new TimeoutError(what, timeoutMs)), timeoutMs)
  try {
    return await withLinkedSignal(signal, stopping, () => work(stopping.signal))
  } finally {
    clearTimeout(timer)
  }
}
