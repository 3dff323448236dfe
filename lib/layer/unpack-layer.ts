// SPDX-License-Identifier: MIT
import { rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { Worker } from 'node:worker_threads'
import { InvalidOptionError, WherryError } from '../errors.ts'
import type { OwnerMap } from './entry-metadata.ts'
import { GrowingFile } from './growing-file.ts'
import { kDefaultLayerLimits, type LayerLimits } from './limits.ts'
import type { UnpackResult } from './unpack-stream.ts'
import { type FromWorker, kWindowBytes, type ToWorker, unpackError, type WorkerInput } from './worker-protocol.ts'

export interface UnpackLayerOptions {
  /**
   * A tar archive, plain or compressed by gzip or zstd: a file's path, a file that is still being downloaded, or a stream,
   * which is read to its end. A {@link GrowingFile} stays the caller's to close.
   */
  source: string | Readable | GrowingFile
  /** Names the layer in errors, for example its digest. */
  layer: string
  /** Must not exist; its parent must. Complete when the promise resolves; the caller renames it into place. */
  targetDir: string
  /** @default {@link kDefaultLayerLimits} */
  limits?: Partial<LayerLimits> | undefined
  signal?: AbortSignal | undefined
  /** `sha256:…` of the bytes of `source`. */
  expectedDigest?: string | undefined
  /** `sha256:…` of the archive, uncompressed. */
  expectedDiffId?: string | undefined
  /**
   * `preserve` keeps the archive's owners, which takes root (or root of a user namespace); `current-user` gives all files
   * to the caller and leaves devices out. @default `preserve` as root, else `current-user`
   */
  ownerMap?: OwnerMap | undefined
  /**
   * Whether the files are on the disk when the promise resolves, so that a layer which is renamed into place afterwards
   * is whole even after a power cut. Takes about as long as unpacking on a disk that is not faster. @default true
   */
  durable?: boolean | undefined
}

/**
 * Unpacks one image layer in a thread of its own into a directory that serves as a layer of an overlay mount with
 * `userxattr`: owners, modes, times in nanoseconds, attributes, hard links, devices and holes as in the archive,
 * whiteouts as character devices 0/0, opaque directories marked by `user.overlay.opaque`.
 *
 * A failure or an abort leaves nothing behind, and a stream given as `source` destroyed.
 *
 * @throws {LayerError} when the archive is malformed, hostile or over a limit.
 * @throws {IntegrityError} when a digest is not the expected one.
 * @throws {SyscallError} when the host fails: ENOSPC, EACCES and the like.
 * @throws {ConflictError} when `targetDir` exists.
 * @source OCI image-spec v1.1.0, layer.md, https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
 */
export async function unpackLayer(options: UnpackLayerOptions): Promise<UnpackResult> {
  options.signal?.throwIfAborted()
  const stop = new SharedArrayBuffer(4)
  const worker = new Worker(new URL('./unpack-worker.js', import.meta.url), {
    name: 'wherry-unpack',
    workerData: workerInput(options, stop),
    // Flags and loaders of the embedding program are not for this thread.
    execArgv: [],
  })
  const abort = (): void => {
    Atomics.store(new Int32Array(stop), 0, 1)
    worker.postMessage({ kind: 'stop' } satisfies ToWorker)
    growing?.wakeReader()
  }
  const { source } = options
  const growing = source instanceof GrowingFile ? source : undefined
  const isForwarded = typeof source !== 'string' && !(source instanceof GrowingFile)
  const forwarder = isForwarded ? new Forwarder(source, worker, abort) : undefined
  options.signal?.addEventListener('abort', abort, { once: true })
  try {
    const outcome = await outcomeOf(worker, forwarder, options.targetDir)
    options.signal?.throwIfAborted()
    return outcome
  } catch (error) {
    if (options.signal?.aborted === true) throw options.signal.reason
    throw forwarder?.failure ?? growing?.failure ?? error
  } finally {
    options.signal?.removeEventListener('abort', abort)
    forwarder?.close()
  }
}

function workerInput(options: UnpackLayerOptions, stop: SharedArrayBuffer): WorkerInput {
  const limits = { ...kDefaultLayerLimits }
  for (const [key, value] of Object.entries(options.limits ?? {})) {
    if (value === undefined) continue
    if (!Object.hasOwn(limits, key))
      throw new InvalidOptionError(`limits.${key}`, `one of ${Object.keys(limits).join(', ')}`, value)
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new InvalidOptionError(`limits.${key}`, 'a whole number, 0 or more', value)
    }
    limits[key as keyof LayerLimits] = value
  }
  return {
    path: typeof options.source === 'string' ? resolve(options.source) : undefined,
    growing: options.source instanceof GrowingFile ? options.source.handle : undefined,
    layer: options.layer,
    targetDir: resolve(options.targetDir),
    limits,
    ownerMap: options.ownerMap ?? (process.geteuid?.() === 0 ? 'preserve' : 'current-user'),
    expectedDigest: options.expectedDigest,
    expectedDiffId: options.expectedDiffId,
    durable: options.durable ?? true,
    stop,
  }
}

/** Waits for the worker's word, and for its end, so that nothing of it runs on when the caller hears. */
async function outcomeOf(worker: Worker, forwarder: Forwarder | undefined, targetDir: string): Promise<UnpackResult> {
  let outcome: FromWorker | undefined
  let crash: unknown
  worker.on('message', (message: FromWorker) => {
    if (message.kind === 'consumed') forwarder?.consumed(message.bytes)
    else outcome = message
  })
  worker.on('error', (error) => {
    crash = error
  })
  await new Promise<void>((done) => worker.once('exit', () => done()))
  if (outcome?.kind === 'done') return outcome.result
  if (outcome?.kind === 'failed') throw unpackError(outcome.error)
  // It died, out of memory for example, and could not clean up.
  await rm(targetDir, { recursive: true, force: true })
  throw new WherryError('The thread that unpacked a layer ended unexpectedly.', { code: 'ERR_WORKER', cause: crash })
}

/** Sends a stream to the worker, never more than {@link kWindowBytes} ahead of it. */
class Forwarder {
  failure: unknown
  readonly #source: Readable
  #onTheWay = 0
  #resume: (() => void) | undefined
  #closed = false

  constructor(source: Readable, worker: Worker, abort: () => void) {
    this.#source = source
    this.#run(worker).catch((error: unknown) => {
      if (this.#closed) return
      this.failure = error
      abort()
    })
  }

  consumed(bytes: number): void {
    this.#onTheWay -= bytes
    if (this.#onTheWay < kWindowBytes) this.#resume?.()
  }

  close(): void {
    this.#closed = true
    this.#resume?.()
    if (!this.#source.readableEnded) this.#source.destroy()
  }

  async #run(worker: Worker): Promise<void> {
    for await (const chunk of this.#source as AsyncIterable<Uint8Array>) {
      if (this.#closed) return
      // A copy: the chunk's own memory may be shared with others who read the stream.
      const bytes = new Uint8Array(chunk).buffer
      this.#onTheWay += bytes.byteLength
      worker.postMessage({ kind: 'chunk', bytes } satisfies ToWorker, [bytes])
      if (this.#onTheWay >= kWindowBytes) {
        await new Promise<void>((done) => {
          this.#resume = done
        })
        this.#resume = undefined
      }
    }
    worker.postMessage({ kind: 'end' } satisfies ToWorker)
  }
}
