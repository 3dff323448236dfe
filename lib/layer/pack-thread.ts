// SPDX-License-Identifier: MIT
import { Worker } from 'node:worker_threads'
import { WherryError } from '../errors.ts'
import type { LayerChange } from './layer-changes.ts'
import type { PackOutcome, PackReport, PackThreadInput } from './pack-protocol.ts'
import { unpackError } from './worker-protocol.ts'

/** Runs one job on a thread of its own; an abort ends the thread. */
export async function runPackThread(
  job: PackThreadInput,
  signal: AbortSignal | undefined,
): Promise<PackOutcome | readonly LayerChange[]> {
  signal?.throwIfAborted()
  const worker = new Worker(new URL('./pack-worker.js', import.meta.url), {
    name: 'wherry-pack',
    workerData: job,
    transferList: job.kind === 'pack' && job.target.kind === 'messages' ? [job.target.port] : [],
    // Flags and loaders of the embedding program are not for this thread.
    execArgv: [],
  })
  let report: PackReport | undefined
  let failure: unknown
  worker.on('message', (message: PackReport) => {
    report = message
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
  if (report === undefined) {
    const cause = failure
    throw new WherryError('A thread that read a tree ended unexpectedly.', { code: 'ERR_WORKER', cause })
  }
  if ('error' in report) throw unpackError(report.error)
  return report.result
}
