// SPDX-License-Identifier: MIT
// The writing thread: parses archives and makes their files.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { WherryError } from '../errors.ts'
import { loadNative } from '../launcher/native.ts'
import { ChunkRing, kAtomicsWake } from './chunk-ring.ts'
import type { LayerSummary } from './decode-layer.ts'
import { lowerThreadPriority } from './lower-priority.ts'
import { FeedUnsupportedError, NativeFeed } from './native-feed.ts'
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

function work({ id, options, source }: WriteJob): JobReport {
  if (source === undefined) {
    const ring = new ChunkRing(memory, { sleep, wake: kAtomicsWake })
    try {
      return { id, result: unpackStream(native, { chunks: ring.chunks(), summary: () => outcomeOf(id) }, options) }
    } finally {
      ring.close()
    }
  }
  const feed = new NativeFeed(native, memory, { source, layer: options.layer })
  try {
    return { id, result: unpackStream(native, feed, options) }
  } finally {
    feed.close()
  }
}

parentPort?.on('message', (job: WriteJob) => {
  let report: JobReport
  try {
    report = work(job)
  } catch (error) {
    const { id } = job
    report = error instanceof FeedUnsupportedError ? { id, needsFeeder: true } : { id, error: packError(error) }
  }
  parentPort?.postMessage(report)
})
