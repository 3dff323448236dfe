// SPDX-License-Identifier: MIT
import type { FileHandle } from 'node:fs/promises'
import { withLinkedSignal } from '../async/linked-signal.ts'
import type { Repository } from '../distribution/repository.ts'
import { IntegrityError, LayerError, NotFoundError } from '../errors.ts'
import { GrowingFile } from '../layer/growing-file.ts'
import { type Digest, digestAlgorithm } from '../oci/digest.ts'
import type { Descriptor } from '../oci/image-config.ts'
import { isErrno } from '../store/atomic.ts'
import { digestFile } from '../store/digest-file.ts'
import type { PartialStore } from '../store/partial.ts'
import type { Store } from '../store/store.ts'
import { BatchWriter } from './batch-writer.ts'
import { forEachLimited } from './limited.ts'
import type { TaskContext } from './shared-tasks.ts'

/** Each takes a few turns of libuv's pool, and no time of the disk. */
const kAdoptedAtOnce = 4

/** How far one blob is. */
export interface BlobProgress {
  readonly phase: 'exists' | 'downloading' | 'unpacking' | 'done'
  readonly bytes: number
}

/** Where blobs go. */
export interface BlobParts {
  readonly store: Store
  readonly partials: PartialStore
}

/** A blob to be had. */
export interface BlobRequest {
  readonly repository: Repository
  readonly descriptor: Descriptor
  /** Where it is a layer to be unpacked, the digest of its tar. */
  readonly diffId: Digest | undefined
}

/**
 * Brings one blob to this machine: in the store, or whole in `partial/`, and its layer unpacked. Download, digest, decompression
 * and unpacking run side by side; a thread reads the file as far as it has come. What an interrupted download left is gone on
 * with. Whoever else, here or in another process, wants the same blob waits for this.
 *
 * @throws {IntegrityError} @throws {LayerError} @throws {RegistryError} @throws {SyscallError}
 */
export async function bringBlob(
  parts: BlobParts,
  request: BlobRequest,
  context: TaskContext<BlobProgress>,
): Promise<void> {
  const { store, partials } = parts
  const { digest, size } = request.descriptor
  const { signal, report } = context
  await using _lock = await partials.lock(digest, { signal, onWait: () => reportWaiting(parts, digest, report) })
  const there = (await store.blobs.size(digest)) ?? (await partials.wholeSize(digest))
  // Awaited here: the lock would be given back at once otherwise.
  if (there === undefined) return await download(parts, request, context)
  if (there !== size) throw new IntegrityError(`The size of blob ${digest}`, String(size), String(there))
  const { diffId } = request
  if (diffId !== undefined) {
    const inStore = (await store.blobs.size(digest)) !== undefined
    const source = inStore ? store.blobs.path(digest) : partials.wholePath(digest)
    if (!(await store.layers.has(diffId))) report({ phase: 'unpacking', bytes: size })
    const unpacked = await store.layers.ensure(diffId, { source, expectedDigest: digest, signal })
    if (!unpacked) await checkPair(store, source, { digest, diffId, signal })
  }
  report({ phase: 'exists', bytes: size })
}

/**
 * Checks that a blob, whose digest was verified, is the layer that was unpacked before: from itself, or else from one that is
 * packed another way. A manifest could name any two together.
 */
async function checkPair(
  { layers }: Store,
  source: string,
  { digest, diffId, signal }: { digest: Digest; diffId: Digest; signal: AbortSignal },
): Promise<void> {
  if ((await layers.info(diffId)).digest === digest) return
  const { dir } = await layers.unpack({ source, expectedDigest: digest, signal }, diffId)
  await layers.discard(dir)
}

/**
 * Moves blobs that {@link bringBlob} brought into the store, and makes their names durable by one sync for all of them. Their
 * digests must be kept.
 */
export async function adoptBlobs(parts: BlobParts, digests: readonly Digest[], signal: AbortSignal): Promise<void> {
  await forEachLimited(
    digests,
    kAdoptedAtOnce,
    () => undefined,
    (digest) => adoptBlob(parts, digest, signal),
  )
  await parts.store.blobs.syncNames(digests)
}

async function adoptBlob({ store, partials }: BlobParts, digest: Digest, signal: AbortSignal): Promise<void> {
  if ((await store.blobs.size(digest)) !== undefined) return
  await using _lock = await partials.lock(digest, { signal })
  if ((await store.blobs.size(digest)) !== undefined) return
  try {
    // Its bytes were on the disk before it was called whole.
    await store.blobs.adoptSynced(partials.wholePath(digest), digest)
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
    throw new NotFoundError(`Blob ${digest} was removed while its image was being pulled.`, 'pull again', error)
  }
}

// Another process does the work: its file says how far it is.
function reportWaiting(parts: BlobParts, digest: Digest, report: TaskContext<BlobProgress>['report']): void {
  parts.partials.size(digest).then(
    (bytes) => {
      if (bytes !== undefined) report({ phase: 'downloading', bytes })
    },
    () => undefined,
  )
}

async function download(parts: BlobParts, request: BlobRequest, context: TaskContext<BlobProgress>): Promise<void> {
  const { partials } = parts
  const { digest, size } = request.descriptor
  for (let isDirect = !request.repository.hasMirrors; ; ) {
    const attempt = new Attempt(parts, request, context, isDirect)
    try {
      await attempt.run()
      await partials.complete(digest)
      context.report({ phase: 'done', bytes: size })
      return
    } catch (error) {
      if (!isDamage(error)) throw error
      await partials.remove(digest)
      if (context.signal.aborted) throw error
      // What an interrupted download left may have been damaged, by a crash of the machine for example.
      if (attempt.resumedAt > 0) continue
      // A mirror may have sent something else.
      if (isDirect) throw error
      isDirect = true
    }
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof IntegrityError || error instanceof LayerError
}

/** One download, from wherever the last one stopped. */
class Attempt {
  /** Bytes that were there before. */
  resumedAt = 0
  readonly #parts: BlobParts
  readonly #request: BlobRequest
  readonly #context: TaskContext<BlobProgress>
  readonly #isDirect: boolean

  /** @param isDirect - asks the registry itself, not its mirrors. */
  constructor(parts: BlobParts, request: BlobRequest, context: TaskContext<BlobProgress>, isDirect: boolean) {
    this.#parts = parts
    this.#request = request
    this.#context = context
    this.#isDirect = isDirect
  }

  async run(): Promise<void> {
    const { partials } = this.#parts
    const { digest, size } = this.#request.descriptor
    const file = await partials.open(digest)
    try {
      const { size: there } = await file.stat()
      if (there > size) await file.truncate(0)
      else this.resumedAt = there
      await this.#downloadAndUnpack(file)
    } finally {
      await file.close()
    }
  }

  async #downloadAndUnpack(file: FileHandle): Promise<void> {
    const { digest } = this.#request.descriptor
    await using growing = await GrowingFile.open(this.#parts.partials.path(digest))
    growing.advance(this.resumedAt)
    const stopping = new AbortController()
    await withLinkedSignal(this.#context.signal, stopping, async () => {
      const downloading = this.#download(file, growing, stopping.signal)
      const unpacking = this.#unpack(growing, stopping.signal)
      // Each ends the other where going on is no use; both have ended when this returns.
      const downloaded = downloading.catch((error: unknown) => {
        growing.fail(error)
        stopping.abort(error)
        throw error
      })
      const unpacked = unpacking.catch((error: unknown) => {
        if (!isDamage(error)) stopping.abort(error)
        throw error
      })
      const [first, second] = await Promise.allSettled([downloaded, unpacked])
      this.#context.signal.throwIfAborted()
      if (first.status === 'rejected')
        throw second.status === 'rejected' ? firstCause(stopping, first.reason) : first.reason
      if (second.status === 'fulfilled' && second.value) return
      await this.#verify(stopping.signal)
      if (second.status === 'rejected') throw second.reason
      const { diffId } = this.#request
      const path = this.#parts.partials.path(digest)
      if (diffId !== undefined) {
        await checkPair(this.#parts.store, path, { digest, diffId, signal: stopping.signal })
      }
    })
  }

  /** @returns whether the digest was verified on the way. */
  async #unpack(growing: GrowingFile, signal: AbortSignal): Promise<boolean> {
    const { diffId, descriptor } = this.#request
    if (diffId === undefined) return false
    return this.#parts.store.layers.ensure(diffId, { source: growing, expectedDigest: descriptor.digest, signal })
  }

  async #download(file: FileHandle, growing: GrowingFile, signal: AbortSignal): Promise<void> {
    const { repository, descriptor, diffId } = this.#request
    const { digest, size } = descriptor
    const { report } = this.#context
    let bytes = this.resumedAt
    const writer = new BatchWriter(file, bytes, (totalBytes) => {
      growing.advance(totalBytes)
      report({ phase: 'downloading', bytes: totalBytes })
    })
    const options = { offset: bytes, signal, direct: this.#isDirect }
    report({ phase: 'downloading', bytes })
    try {
      if (bytes < size) {
        for await (const chunk of repository.blob({ digest, size }, options)) {
          bytes += chunk.length
          if (bytes > size) throw new IntegrityError(`The size of blob ${digest}`, String(size), 'more')
          const full = writer.push(chunk)
          if (full !== undefined) await full
        }
      }
    } finally {
      // Also after a failure: what has come is not asked for again, and nothing is written once the file is closed.
      await writer.end()
    }
    if (bytes !== size) throw new IntegrityError(`The size of blob ${digest}`, String(size), String(bytes))
    growing.finish(size)
    if (diffId !== undefined) report({ phase: 'unpacking', bytes })
    // While the rest is being unpacked: it has to be on the disk before it is called whole.
    await file.datasync()
  }

  /** Hashes the file, where the unpacking has not done so or has failed: that damage explains everything else. */
  async #verify(signal: AbortSignal): Promise<void> {
    const { digest } = this.#request.descriptor
    const actual = await digestFile(this.#parts.partials.path(digest), digestAlgorithm(digest), signal)
    if (actual !== digest) throw new IntegrityError('The layer blob', digest, actual)
  }
}

/** Of a download and an unpacking that both failed, what came first: the other was stopped for it. */
function firstCause(stopping: AbortController, otherwise: unknown): unknown {
  return stopping.signal.aborted ? stopping.signal.reason : otherwise
}
