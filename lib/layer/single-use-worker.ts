// SPDX-License-Identifier: MIT
import { Worker, type WorkerOptions } from 'node:worker_threads'

/**
 * Runs a thread that does one thing, says one thing, and ends.
 *
 * @param options - what the thread gets; flags and loaders of the embedding program are not for it.
 * @returns what it said last, or else what it failed with. Rejects with `signal.reason` on abort, once it has ended.
 */
export async function runSingleUse<T>(
  script: URL,
  options: Pick<WorkerOptions, 'name' | 'workerData' | 'transferList'>,
  signal: AbortSignal | undefined,
): Promise<{ message: T | undefined; failure: unknown }> {
  const worker = new Worker(script, { ...options, execArgv: [] })
  let message: T | undefined
  let failure: unknown
  worker.on('message', (said: T) => {
    message = said
  })
  worker.on('error', (error) => {
    failure = error
  })
  const stop = (): void => {
    worker.terminate().catch(() => undefined)
  }
  signal?.addEventListener('abort', stop, { once: true })
  await new Promise<void>((done) => worker.once('exit', () => done()))
  signal?.removeEventListener('abort', stop)
  signal?.throwIfAborted()
  return { message, failure }
}
