// SPDX-License-Identifier: MIT
// Reads layers, hashes and decompresses them into the ring, where the addon's thread cannot: from streams, and by zstd.
import fs from 'node:fs'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { ChunkRing, kAtomicsWake, kChunkBytes } from './chunk-ring.ts'
import { LayerDecoder } from './decode-layer.ts'
import { type GrowingFileHandle, GrowingFileView } from './growing-file.ts'
import { lowerThreadPriority } from './lower-priority.ts'
import { brokenDownload } from './native-feed.ts'
import { sleep } from './sleep-in-worker.ts'
import {
  type FeedJob,
  type FeedOutcome,
  type FromFeeder,
  type JobReport,
  packError,
  type ThreadInput,
  type ToFeeder,
} from './worker-protocol.ts'

const { ring: memory, port } = workerData as ThreadInput
lowerThreadPriority()

/** Where to read the next bytes to. */
type NextBuffer = () => Buffer

async function* fileChunks(path: string, nextBuffer: NextBuffer): AsyncGenerator<Buffer> {
  const fd = fs.openSync(path, 'r')
  try {
    for (;;) {
      const buffer = nextBuffer()
      const bytes = fs.readSync(fd, buffer)
      if (bytes === 0) return
      yield buffer.subarray(0, bytes)
    }
  } finally {
    fs.closeSync(fd)
  }
}

/** Reads a file as far as it has come, and waits where it has not come further. */
async function* growingChunks(handle: GrowingFileHandle, ring: ChunkRing, nextBuffer: NextBuffer) {
  const view = new GrowingFileView(handle)
  for (let position = 0; ; ) {
    const { changes } = view
    ring.check()
    const { sizeBytes, state } = view.look()
    if (position < sizeBytes) {
      const buffer = nextBuffer()
      const wanted = Math.min(buffer.length, sizeBytes - position)
      const bytes = fs.readSync(view.fd, buffer, 0, wanted, position)
      if (bytes === 0) throw brokenDownload('is shorter than it was said to be')
      position += bytes
      yield buffer.subarray(0, bytes)
    } else if (state === 'growing') {
      await view.changeAfter(changes)
    } else if (state === 'finished') {
      return
    } else {
      throw brokenDownload('was given up')
    }
  }
}

/** Chunks from the owner of this thread; each is acknowledged when the next is asked for. */
async function* messageChunks(from: MessagePort, ring: ChunkRing): AsyncGenerator<Buffer> {
  const queue: ToFeeder[] = []
  let wake = (): void => {}
  from.on('message', (message: ToFeeder) => {
    queue.push(message)
    wake()
  })
  try {
    for (;;) {
      const message = queue.shift()
      ring.check()
      if (message === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      } else if (message.kind === 'chunk') {
        yield Buffer.from(message.bytes)
        from.postMessage({ kind: 'consumed', bytes: message.bytes.byteLength } satisfies FromFeeder)
      } else if (message.kind === 'end') {
        return
      }
    }
  } finally {
    from.close()
  }
}

function chunksOf({ source }: FeedJob, ring: ChunkRing, nextBuffer: NextBuffer): AsyncGenerator<Buffer> {
  if (source.kind === 'file') return fileChunks(source.path, nextBuffer)
  if (source.kind === 'growing') return growingChunks(source.handle, ring, nextBuffer)
  return messageChunks(source.port, ring)
}

async function feed(job: FeedJob): Promise<void> {
  const { id } = job
  const ring = new ChunkRing(memory, { sleep, wake: kAtomicsWake })
  try {
    // A plain archive is read to where the writer takes it from.
    const nextBuffer = (): Buffer =>
      decoder.isCompressed === false ? ring.slot() : Buffer.allocUnsafeSlow(kChunkBytes)
    const decoder: LayerDecoder = new LayerDecoder(chunksOf(job, ring, nextBuffer), job.layer)
    for await (const chunk of decoder.chunks()) ring.put(chunk)
    port.postMessage({ id, summary: decoder.summary() } satisfies FeedOutcome)
  } catch (error) {
    port.postMessage({ id, error: packError(error) } satisfies FeedOutcome)
  }
  ring.end()
  parentPort?.postMessage({ id } satisfies JobReport)
}

parentPort?.on('message', feed)
