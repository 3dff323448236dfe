// SPDX-License-Identifier: MIT
import { WherryError } from '../errors.ts'
import type { LayerChange } from './layer-changes.ts'
import type { PackOutcome, PackReport, PackThreadInput } from './pack-protocol.ts'
import { runSingleUse } from './single-use-worker.ts'
import { unpackError } from './worker-protocol.ts'

/** Runs one job on a thread of its own; an abort ends the thread. */
export async function runPackThread(
  job: PackThreadInput,
  signal: AbortSignal | undefined,
): Promise<PackOutcome | readonly LayerChange[]> {
  signal?.throwIfAborted()
  const options = {
    name: 'wherry-pack',
    workerData: job,
    transferList: job.kind === 'pack' && job.target.kind === 'messages' ? [job.target.port] : [],
  }
  const script = new URL('./pack-worker.js', import.meta.url)
  const { message: report, failure } = await runSingleUse<PackReport>(script, options, signal)
  if (report === undefined) {
    throw new WherryError('A thread that read a tree ended unexpectedly.', { code: 'ERR_WORKER', cause: failure })
  }
  if ('error' in report) throw unpackError(report.error)
  return report.result
}
