// SPDX-License-Identifier: MIT
import { TimeoutError } from '../errors.ts'
import { withLinkedSignal } from './linked-signal.ts'

/** Runs `work` with a signal that is aborted by the caller's, and with a {@link TimeoutError} when the time is up. */
export function withDeadline<T>(
  what: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return withTimeLimit(timeoutMs, () => new TimeoutError(what, timeoutMs), signal, work)
}

/** As {@link withDeadline}, with another reason when the time is up. */
export async function withTimeLimit<T>(
  timeoutMs: number,
  reason: () => Error,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stopping = new AbortController()
  const timer = setTimeout(() => stopping.abort(reason()), timeoutMs)
  try {
    return await withLinkedSignal(signal, stopping, () => work(stopping.signal))
  } finally {
    clearTimeout(timer)
  }
}
