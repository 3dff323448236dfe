// SPDX-License-Identifier: MIT

/** Runs `work` while an abort of `signal` is passed on to `controller`. */
export async function withLinkedSignal<T>(
  signal: AbortSignal | undefined,
  controller: AbortController,
  work: () => Promise<T>,
): Promise<T> {
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
