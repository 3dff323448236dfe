// SPDX-License-Identifier: MIT
import { allowManyListeners } from './many-listeners.ts'

/** Runs `work` while an abort of `signal` is passed on to `controller`. */
export async function withLinkedSignal<T>(
  signal: AbortSignal | undefined,
  controller: AbortController,
  work: () => Promise<T>,
): Promise<T> {
  for (const each of [signal, controller.signal]) if (each !== undefined) allowManyListeners(each)
  const abort = (): void => controller.abort(signal?.reason)
  if (signal?.aborted === true) abort()
  // By hand: AbortSignal.any() came with Node 20.3.
  signal?.addEventListener('abort', abort, { once: true })
  try {
    return await work()
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}
