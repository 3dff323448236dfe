// SPDX-License-Identifier: MIT
import { createWriteStream } from 'node:fs'
import { realpath, rename, rm, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Readable, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ConflictError, InvalidOptionError } from '../errors.ts'
import { isErrno, makeDirectories, syncDirectory } from '../store/atomic.ts'
import { hostError } from '../store/host-error.ts'
import type { StoredImage } from '../store/image-store.ts'
import { removeTree } from '../store/remove-tree.ts'
import type { Store } from '../store/store.ts'
import { readWholeIndex, type StoredDocument } from '../store/whole-index.ts'
import type { ImageProgress } from './load.ts'
import type { LayerCompression } from './recompress.ts'
import { dockerMembers } from './save-docker.ts'
import { blobsToSave, ociMembers, type SavedImage } from './save-oci.ts'
import { type TarMember, writeTar } from './tar-writer.ts'

/** How images are written. */
export type SaveFormat = 'oci' | 'docker' | 'oci-dir'

export interface SaveOptions {
  readonly format: SaveFormat
  /** `undefined` keeps blobs as they are. */
  readonly compression: LayerCompression | undefined
  /** Writes the index that an image came with, and all that it names. @default false */
  readonly allPlatforms?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: ImageProgress) => void) | undefined
}

/**
 * Writes images to an archive or a folder. A path gets the whole result or keeps what it had; a stream is ended, or destroyed with
 * the error.
 *
 * @throws {NotFoundError} when an image has been removed. @throws {SyscallError} when the target cannot be written.
 */
export async function saveImages(
  store: Store,
  images: readonly StoredImage[],
  target: string | Writable,
  options: SaveOptions,
): Promise<void> {
  const { signal } = options
  try {
    signal?.throwIfAborted()
    const saved: SavedImage[] = []
    for (const image of images) saved.push({ image, index: await indexOf(store, image, options) })
    const letGo = await store.images.keep(saved.flatMap(blobsToSave), signal)
    try {
      await new Save(store, saved, options).to(target)
    } finally {
      // It may have been removed meanwhile; then this was what kept its content.
      store.sweepSoon(letGo)
    }
  } catch (error) {
    const failure = signal?.aborted === true ? signal.reason : hostError('Saving images', error)
    if (typeof target !== 'string') target.destroy(failure instanceof Error ? failure : new Error(String(failure)))
    throw failure
  }
}

async function indexOf(
  store: Store,
  image: StoredImage,
  { allPlatforms }: SaveOptions,
): Promise<StoredDocument[] | undefined> {
  if (allPlatforms !== true || image.indexDigest === undefined) return undefined
  const hint = 'pull or load it with allPlatforms: true, or save without allPlatforms'
  return readWholeIndex(store.blobs, image.indexDigest, hint)
}

class Save {
  readonly #store: Store
  readonly #images: readonly SavedImage[]
  readonly #options: SaveOptions
  #bytes = 0

  constructor(store: Store, images: readonly SavedImage[], options: SaveOptions) {
    this.#store = store
    this.#images = images
    this.#options = options
  }

  async to(target: string | Writable): Promise<void> {
    if (typeof target !== 'string') await this.#pipe(target)
    else if (this.#options.format === 'oci-dir') await this.#toFolder(target)
    else await this.#toFile(target)
    this.#report('done')
  }

  #members(): AsyncIterable<TarMember> {
    const { format, compression, signal } = this.#options
    if (format === 'docker') {
      return dockerMembers(
        this.#store,
        this.#images.map(({ image }) => image),
        signal,
      )
    }
    return ociMembers(this.#store, this.#images, compression, format === 'oci', signal)
  }

  async #pipe(target: Writable): Promise<void> {
    const { signal } = this.#options
    const source = Readable.from(this.#counted(writeTar(this.#members())), {
      objectMode: false,
      highWaterMark: 1024 * 1024,
    })
    await pipeline(source, target, signal === undefined ? {} : { signal })
  }

  async #toFile(path: string): Promise<void> {
    const place = await findPlace(path)
    // A terminal, a pipe or a device cannot be renamed over.
    if (place.kind === 'special') return this.#pipe(createWriteStream(place.path))
    if (place.kind === 'directory') throw new ConflictError(`Cannot save to ${path}: it is a directory.`)
    const scratch = scratchBeside(place.path, this.#store)
    try {
      // Written to the disk by the stream: to open the file once more, the umask may have left no permission.
      await this.#pipe(createWriteStream(scratch, { flags: 'wx', flush: true }))
      await rename(scratch, place.path)
      await syncDirectory(dirname(place.path))
    } catch (error) {
      await rm(scratch, { force: true })
      throw error
    }
  }

  async #toFolder(path: string): Promise<void> {
    const place = await findPlace(path)
    if (place.kind === 'file' || place.kind === 'special')
      throw new ConflictError(`Cannot save to ${path}: it is no directory.`)
    const scratch = scratchBeside(place.path, this.#store)
    await makeDirectories(scratch, 0o777)
    try {
      for await (const member of this.#members()) await this.#writeMember(scratch, member)
      // What is there must be empty, or this fails.
      if (place.kind === 'directory') await rmdir(place.path)
      await rename(scratch, place.path)
      await syncDirectory(dirname(place.path))
    } catch (error) {
      await removeTree(scratch)
      if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error
      throw new ConflictError(
        `Cannot save to ${path}: the directory is not empty.`,
        'name a directory that does not exist',
      )
    }
  }

  async #writeMember(dir: string, member: TarMember): Promise<void> {
    const path = join(dir, member.name)
    if (member.kind === 'directory') await makeDirectories(path, 0o777)
    if (member.kind !== 'file') return
    const { signal } = this.#options
    const target = createWriteStream(path, { flags: 'wx', flush: true })
    await pipeline(
      Readable.from(this.#counted(member.chunks), { objectMode: false }),
      target,
      signal === undefined ? {} : { signal },
    )
  }

  async *#counted(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      this.#bytes += chunk.byteLength
      this.#report('writing')
      yield chunk
    }
  }

  #report(phase: ImageProgress['phase']): void {
    this.#options.onProgress?.({ phase, bytes: this.#bytes, totalBytes: phase === 'done' ? this.#bytes : undefined })
  }
}

/** Where a path leads, past symlinks. */
async function findPlace(path: string): Promise<{ path: string; kind: 'none' | 'file' | 'directory' | 'special' }> {
  try {
    const real = await realpath(path)
    const stats = await stat(real)
    return { path: real, kind: stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'special' }
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
    if (basename(path) === '') throw new InvalidOptionError('target', 'the path of a file', path)
    return { path, kind: 'none' }
  }
}

// Beside the target, so that it is on the same file system.
function scratchBeside(path: string, store: Store): string {
  return join(dirname(path), `.${basename(path).slice(0, 100)}.${basename(store.session.tmpPath('save'))}`)
}
