// SPDX-License-Identifier: MIT
// The writing thread of a pair: parses archives and makes their files.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { WherryError } from '../errors.ts'
import { loadNative } from '../launcher/native.ts'
import { ChunkRing } from './chunk-ring.ts'
import type { LayerSummary } from './decode-layer.ts'
import { lowerThreadPriority } from './lower-priority.ts'
import { sleep } from './sleep-in-worker.ts'
import { unpackStream } from './unpack-stream.ts'
import {
  type FeedOutcome,
  type JobReport,
  packError,
  type ThreadInput,
  unpackError,
  type WriteJob,
} from './worker-protocol.ts'

const { ring: memory, port } = workerData as ThreadInput
const native = loadNative()
lowerThreadPriority()

/** What the feeder said of job `id`; of jobs before that it may have said more than was heard. */
function outcomeOf(id: number): LayerSummary {
  for (;;) {
    const received = receiveMessageOnPort(port)?.message as FeedOutcome | undefined
    if (received === undefined)
      throw new WherryError('The thread that reads a layer said nothing.', { code: 'ERR_WORKER' })
    if (received.id !== id) continue
    if ('error' in received) throw unpackError(received.error)
    return received.summary
  }
}

parentPort?.on('message', ({ id, options }: WriteJob) => {
  const ring = new ChunkRing(memory, sleep)
  const report: JobReport = { id }
  try {
    report.result = unpackStream(native, { chunks: ring.chunks(), summary: () => outcomeOf(id) }, options)
  } catch (error) {
    report.error = packError(error)
  }
  ring.close()
  parentPort?.postMessage(report)
})
