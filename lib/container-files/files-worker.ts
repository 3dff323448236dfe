// SPDX-License-Identifier: MIT
// A thread that works on files of containers: one job at a time, blocked by each.
import { type MessagePort, parentPort } from 'node:worker_threads'
import { SyscallError } from '../errors.ts'
import { isNativeError } from '../launcher/fs-native.ts'
import { loadNative } from '../launcher/native.ts'
import { lowerThreadPriority } from '../layer/lower-priority.ts'
import type { FromPacker, ToPacker } from '../layer/pack-protocol.ts'
import { kPackChunkBytes } from '../layer/pack-tree.ts'
import { type FromFeeder, packError, type ToFeeder } from '../layer/worker-protocol.ts'
import { archiveChunks, copyIn, copyOut, Extraction, exportChunks, fillDirectory } from './copy-operations.ts'
import type { FileJob, FileJobMessage, FileJobReport } from './file-jobs.ts'
import {
  emptyDirectory,
  makeDirectory,
  readDirectory,
  readWhole,
  removePath,
  statFile,
  writeWhole,
} from './file-operations.ts'
import { type RemoteFs, remoteFs } from './remote-fs.ts'

const native = loadNative()
lowerThreadPriority()

function run(fs: RemoteFs, job: FileJob): unknown {
  switch (job.kind) {
    case 'stat':
      return statFile(fs, job)
    case 'readdir':
      return readDirectory(fs, job)
    case 'read':
      return readWhole(fs, job)
    case 'write':
      return writeWhole(fs, job)
    case 'remove':
      return removePath(fs, job)
    case 'mkdir':
      return makeDirectory(fs, job)
    case 'copyIn':
      return copyIn(native, fs, job)
    case 'copyOut':
      return copyOut(native, fs, job)
    case 'empty':
      return emptyDirectory(fs, job)
    case 'fill':
      return fillDirectory(fs, job)
    case 'extract':
      return extract(new Extraction(fs, job), job.port)
    case 'archive':
      return send(archiveChunks(fs, job, newBuffer), job)
    case 'export':
      return send(exportChunks(fs, job.limits, newBuffer), job)
  }
}

function newBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(kPackChunkBytes)
}

/** Takes an archive from a port, and says how far it has come. */
function extract(extraction: Extraction, port: MessagePort): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const finish = (settle: () => void): void => {
      extraction.close()
      port.close()
      settle()
    }
    port.on('message', (message: ToFeeder) => {
      try {
        if (message.kind === 'chunk') {
          extraction.push(Buffer.from(message.bytes))
          port.postMessage({ kind: 'consumed', bytes: message.bytes.byteLength } satisfies FromFeeder)
        } else if (message.kind === 'end') {
          extraction.end()
          finish(resolve)
        }
      } catch (error) {
        const explained = explain(error, extraction.currentEntry)
        finish(() => reject(explained))
      }
    })
  })
}

/** Sends chunks, and waits while the receiver is too far behind. */
async function send(
  chunks: Iterable<Buffer>,
  { port, windowBytes }: { port: MessagePort; windowBytes: number },
): Promise<void> {
  let onTheWay = 0
  let wake = (): void => {}
  port.on('message', (bytes: ToPacker) => {
    onTheWay -= bytes
    wake()
  })
  try {
    for (const chunk of chunks) {
      while (onTheWay > 0 && onTheWay + chunk.length > windowBytes) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      const bytes = new Uint8Array(chunk).buffer
      onTheWay += bytes.byteLength
      port.postMessage(bytes satisfies FromPacker, [bytes])
    }
    port.postMessage(null satisfies FromPacker)
  } finally {
    port.close()
  }
}

function explain(error: unknown, entry?: string): unknown {
  if (!isNativeError(error) || error instanceof SyscallError) return error
  const where = entry === undefined ? '' : `, entry ${JSON.stringify(entry)}`
  return new SyscallError(`Cannot work on files of the container${where}`, {
    code: error.code,
    errno: error.errno,
    syscall: error.syscall,
    ...(error.path === undefined ? {} : { path: error.path }),
    text: error.message.replace(/^\w+: /, '').replace(/, \w+( '.*')?$/s, ''),
    cause: error,
  })
}

async function work({ socket, job }: FileJobMessage): Promise<FileJobReport> {
  try {
    return { result: await run(remoteFs(native, socket), job) }
  } catch (error) {
    return { error: packError(explain(error)) }
  }
}

parentPort?.on('message', (message: FileJobMessage) => {
  void work(message).then((report) => {
    const { result } = report as { result?: unknown }
    parentPort?.postMessage(report, result instanceof Uint8Array ? [result.buffer as ArrayBuffer] : [])
  })
})
