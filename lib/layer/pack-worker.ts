// SPDX-License-Identifier: MIT
// A thread that reads one tree: makes a blob of it, or compares it with others.
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { remoteFs } from '../container-files/remote-fs.ts'
import { SyscallError } from '../errors.ts'
import { isNativeError } from '../launcher/fs-native.ts'
import { loadNative } from '../launcher/native.ts'
import { findChanges } from './layer-changes.ts'
import { lowerThreadPriority } from './lower-priority.ts'
import { type BlobOutput, newCompressor } from './pack-compress.ts'
import { openDirectory } from './pack-open.ts'
import type {
  FromPacker,
  PackJob,
  PackOutcome,
  PackReport,
  PackTarget,
  PackThreadInput,
  ToPacker,
} from './pack-protocol.ts'
import { kPackChunkBytes, TreePacker } from './pack-tree.ts'
import { packError } from './worker-protocol.ts'

const native = loadNative()
lowerThreadPriority()

class FileOutput implements BlobOutput {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  async write(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; ) at += fs.writeSync(this.#fd, chunk, at)
  }

  async end(): Promise<void> {}

  close(): void {}
}

/** Sends copies, and waits while the receiver is too far behind. */
class MessageOutput implements BlobOutput {
  readonly #port: MessagePort
  readonly #windowBytes: number
  #onTheWay = 0
  #wake = (): void => {}

  constructor(port: MessagePort, windowBytes: number) {
    this.#port = port
    this.#windowBytes = windowBytes
    port.on('message', (bytes: ToPacker) => {
      this.#onTheWay -= bytes
      this.#wake()
    })
  }

  async write(chunk: Buffer): Promise<void> {
    while (this.#onTheWay > 0 && this.#onTheWay + chunk.length > this.#windowBytes) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const bytes = new Uint8Array(chunk).buffer
    this.#onTheWay += bytes.byteLength
    this.#port.postMessage(bytes satisfies FromPacker, [bytes])
  }

  async end(): Promise<void> {
    this.#port.postMessage(null satisfies FromPacker)
  }

  close(): void {
    this.#port.close()
  }
}

async function pack(job: PackJob): Promise<PackOutcome> {
  const [blobHash, treeHash] = [createHash('sha256'), createHash('sha256')]
  const isPlain = job.compression === 'none'
  const output = openOutput(job.target)
  let sizeBytes = 0
  const counted: BlobOutput = {
    write(chunk) {
      sizeBytes += chunk.length
      if (!isPlain) blobHash.update(chunk)
      return output.write(chunk)
    },
  }
  const compressor = newCompressor(job.compression, job.level, counted)
  const fs = fsOf(job.server)
  const packer = new TreePacker(fs, job.tree, () => compressor.buffer(kPackChunkBytes))
  let rootFd = -1
  try {
    rootFd = openDirectory(fs, job.directory)
    for (const chunk of packer.chunks(rootFd)) {
      treeHash.update(chunk)
      await compressor.write(chunk)
    }
    if (job.durable) native.syncfs(rootFd)
    await compressor.end()
    await output.end()
  } catch (error) {
    throw explain(error, job.tree.layer, packer.currentEntry)
  } finally {
    if (rootFd >= 0) native.close(rootFd)
    output.close()
  }
  const diffId = `sha256:${treeHash.digest('hex')}`
  const digest = isPlain ? diffId : `sha256:${blobHash.digest('hex')}`
  return { ...packer.summary, digest, diffId, sizeBytes }
}

function fsOf(server: number | undefined): typeof native {
  return server === undefined ? native : remoteFs(native, server)
}

function openOutput(target: PackTarget): FileOutput | MessageOutput {
  return target.kind === 'file' ? new FileOutput(target.fd) : new MessageOutput(target.port, target.windowBytes)
}

/** Says in whose work a call of the system failed. */
function explain(error: unknown, layer: string, entry: string | undefined): unknown {
  if (!isNativeError(error) || error instanceof SyscallError) return error
  const where = entry === undefined ? '' : `, entry ${JSON.stringify(entry)}`
  return new SyscallError(`Cannot read ${layer}${where}`, {
    code: error.code,
    errno: error.errno,
    syscall: error.syscall,
    ...(error.path === undefined ? {} : { path: error.path }),
    text: error.message.replace(/^\w+: /, '').replace(/, \w+( '.*')?$/s, ''),
    hint: error.code === 'EACCES' ? 'read it as root, or in a user namespace whose root owns its files' : undefined,
    cause: error,
  })
}

function run(job: PackThreadInput): Promise<PackOutcome | ReturnType<typeof findChanges>> {
  if (job.kind === 'pack') return pack(job)
  return Promise.resolve().then(() => {
    try {
      return findChanges(fsOf(job.server), job)
    } catch (error) {
      throw explain(error, job.layer, undefined)
    }
  })
}

run(workerData as PackThreadInput).then(
  (result) => parentPort?.postMessage({ result } satisfies PackReport),
  (error: unknown) => parentPort?.postMessage({ error: packError(error) } satisfies PackReport),
)
