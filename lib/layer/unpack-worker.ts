// SPDX-License-Identifier: MIT
import fs from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { WherryError } from '../errors.ts'
import { loadNative } from '../launcher/native.ts'
import { type GrowingFileHandle, GrowingFileView } from './growing-file.ts'
import { unpackStream } from './unpack-stream.ts'
import { type FromWorker, packError, type ToWorker, type WorkerInput } from './worker-protocol.ts'

/** Small enough to be in the processor's cache still when it is hashed and written. */
const kReadBytes = 256 * 1024

const input = workerData as WorkerInput
const stop = new Int32Array(input.stop)

function send(message: FromWorker): void {
  parentPort?.postMessage(message)
}

function check(): void {
  if (Atomics.load(stop, 0) !== 0) throw new WherryError('The unpacking was stopped.', { code: 'ERR_ABORTED' })
}

async function* fileChunks(path: string): AsyncGenerator<Buffer> {
  const fd = fs.openSync(path, 'r')
  try {
    const chunk = Buffer.allocUnsafeSlow(kReadBytes)
    for (;;) {
      const bytes = fs.readSync(fd, chunk)
      if (bytes === 0) return
      yield chunk.subarray(0, bytes)
    }
  } finally {
    fs.closeSync(fd)
  }
}

/** Reads a file as far as it has come, and sleeps where it has not come further. */
async function* growingChunks(handle: GrowingFileHandle): AsyncGenerator<Buffer> {
  const view = new GrowingFileView(handle)
  const chunk = Buffer.allocUnsafeSlow(kReadBytes)
  for (let position = 0; ; ) {
    const changes = view.changes
    check()
    const { sizeBytes, state } = view.look()
    if (position < sizeBytes) {
      const bytes = fs.readSync(view.fd, chunk, 0, Math.min(chunk.length, sizeBytes - position), position)
      if (bytes === 0) throw broken('is shorter than it was said to be')
      position += bytes
      yield chunk.subarray(0, bytes)
    } else if (state === 'growing') {
      Atomics.wait(view.words, view.index, changes)
    } else if (state === 'finished') {
      return
    } else {
      throw broken('was given up')
    }
  }
}

function broken(what: string): WherryError {
  return new WherryError(`The file being downloaded ${what}.`, { code: 'ERR_DOWNLOAD' })
}

/** Chunks from the owner of this worker; each is acknowledged when the next is asked for. */
async function* messageChunks(): AsyncGenerator<Buffer> {
  const queue: ToWorker[] = []
  let wake = (): void => {}
  parentPort?.on('message', (message: ToWorker) => {
    queue.push(message)
    wake()
  })
  for (;;) {
    const message = queue.shift()
    check()
    if (message === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    } else if (message.kind === 'chunk') {
      yield Buffer.from(message.bytes)
      send({ kind: 'consumed', bytes: message.bytes.byteLength })
    } else if (message.kind === 'end') {
      return
    }
  }
}

async function main(): Promise<void> {
  try {
    const { path, growing } = input
    const source =
      path !== undefined ? fileChunks(path) : growing !== undefined ? growingChunks(growing) : messageChunks()
    const result = await unpackStream(loadNative(), source, { ...input, check })
    send({ kind: 'done', result })
  } catch (error) {
    send({ kind: 'failed', error: packError(error) })
  }
  // The port would keep the thread alive.
  parentPort?.close()
}

await main()
