// SPDX-License-Identifier: MIT
import { defaultMaxListeners, getMaxListeners, setMaxListeners } from 'node:events'

/** Many pulls may share one signal, and many blobs the one of their pull; Node would take eleven listeners for a leak. */
const kManyListeners = 1_500

/** Runs `work` while an abort of `signal` is passed on to `controller`. */
export async function withLinkedSignal<T>(
  signal: AbortSignal | undefined,
  controller: AbortController,
  work: () => Promise<T>,
): Promise<T> {
  for (const each of [signal, controller.signal]) {
    // What the caller has set stays.
    if (each !== undefined && getMaxListeners(each) === defaultMaxListeners) setMaxListeners(kManyListeners, each)
  }
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
