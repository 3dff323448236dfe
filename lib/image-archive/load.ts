import { constants, createReadStream } from 'node:fs'
import { copyFile, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { IntegrityError, NotFoundError, PlatformError } from '../errors.ts'
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts'
import type { Platform } from '../oci/image-config.ts'
import { fitsPlatform, formatPlatform } from '../oci/platform.ts'
import { isErrno } from '../store/atomic.ts'
import { digestFile } from '../store/digest-file.ts'
import { hostError } from '../store/host-error.ts'
import type { StoredImage } from '../store/image-store.ts'
import { removeTree } from '../store/remove-tree.ts'
import type { Store } from '../store/store.ts'
import { type ArchiveFile, type ArchiveFiles, FolderFiles } from './archive-files.ts'
import { readDockerArchive } from './docker-archive.ts'
import type { ImageSource, LayerSource } from './image-source.ts'
import { type BlobSource, blobsBelow } from './index-children.ts'
import { isOciLayout, readOciLayout } from './oci-layout.ts'
import { spoolTar } from './spool-tar.ts'

/** Reported while an image comes into the store or is saved. */
export interface ImageProgress {
  /** `reading` an archive, `unpacking` its layers, `writing` one; `done` per image that was loaded, and at the end of a save. */
  readonly phase: 'reading' | 'unpacking' | 'writing' | 'done'
  /** Bytes of the archive read or written so far. */
  readonly bytes: number
  /** Size of the archive, where it is known. */
  readonly totalBytes: number | undefined
  /** The layer that has just been unpacked, and how many there are. */
  readonly layer?: { readonly digest: Digest; readonly position: number; readonly count: number }
}

export interface LoadOptions {
  readonly platform: Platform
  /** Whether somebody asked for the platform: an image for another one is then an error, where it is the only one too. */
  readonly isPlatformGiven: boolean
  /** Keeps what an index names for other platforms, as blobs. @default false */
  readonly allPlatforms?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: ImageProgress) => void) | undefined
}

/**
 * Loads every image of an archive or layout folder. An image is listed when all of it is there; a failure leaves none of this
 * load's files behind, except layers and blobs of images of the same archive that were complete before.
 *
 * @throws {LayerError} @throws {IntegrityError} @throws {PlatformError} @throws {NotFoundError}
 */
export async function loadImages(
  store: Store,
  source: string | Readable,
  options: LoadOptions,
): Promise<StoredImage[]> {
  const { signal } = options
  try {
    signal?.throwIfAborted()
    return await store.unsynced.during(() => loadFrom(store, source, options))
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : hostError('Loading images', error)
  }
}

async function loadFrom(store: Store, source: string | Readable, options: LoadOptions): Promise<StoredImage[]> {
  const totalBytes = typeof source === 'string' ? await sizeOf(source) : undefined
  const load = new Load(store, options, totalBytes === 'folder' ? undefined : totalBytes)
  if (typeof source === 'string' && totalBytes === 'folder') return load.all(new FolderFiles(source))
  const dir = store.session.tmpPath('archive')
  try {
    return await load.all(await load.spool(source, dir))
  } finally {
    await removeTree(dir)
  }
}

/** @returns `'folder'` for a directory. */
async function sizeOf(path: string): Promise<number | 'folder' | undefined> {
  try {
    const stats = await stat(path)
    if (stats.isDirectory()) return 'folder'
    return stats.isFile() ? stats.size : undefined
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR'))
      throw new NotFoundError(`Image archive ${path} does not exist.`, undefined, error)
    throw error
  }
}

class Load {
  readonly #store: Store
  readonly #options: LoadOptions
  readonly #totalBytes: number | undefined
  #bytes = 0

  constructor(store: Store, options: LoadOptions, totalBytes: number | undefined) {
    this.#store = store
    this.#options = options
    this.#totalBytes = totalBytes
  }

  spool(source: string | Readable, dir: string): Promise<ArchiveFiles> {
    const { signal } = this.#options
    const stream = typeof source === 'string' ? createReadStream(source, { highWaterMark: 1024 * 1024 }) : source
    const onBytes = (bytes: number): void => {
      this.#bytes += bytes
      this.#report('reading')
    }
    const label = typeof source === 'string' ? source : 'stream'
    return spoolTar(stream, { label, dir, onBytes, ...(signal === undefined ? {} : { signal }) })
  }

  async all(files: ArchiveFiles): Promise<StoredImage[]> {
    const isOci = await isOciLayout(files)
    const sources = isOci ? await readOciLayout(files, this.#options.platform) : await readDockerArchive(files)
    for (const source of sources) this.#checkPlatform(files.label, source)
    const images: StoredImage[] = []
    for (const source of sources) images.push(await this.#one(source, await this.#others(files, source)))
    return images
  }

  #checkPlatform(label: string, { parsedConfig, platform: offered = parsedConfig, references }: ImageSource): void {
    const { platform, isPlatformGiven } = this.#options
    if (!isPlatformGiven || fitsPlatform(offered, platform)) return
    throw new PlatformError(references[0] ?? label, formatPlatform(platform), [formatPlatform(offered)])
  }

  async #others(files: ArchiveFiles, { index }: ImageSource): Promise<BlobSource[]> {
    return this.#options.allPlatforms === true && index !== undefined ? blobsBelow(files, index, 'index') : []
  }

  async #one(source: ImageSource, others: readonly BlobSource[]): Promise<StoredImage> {
    const { signal } = this.#options
    const layers = source.layers.flatMap((layer) => [layer.digest, layer.diffId])
    const index = source.index === undefined ? [] : [digestOf(source.index)]
    const kept = [...index, ...others.map((blob) => blob.digest)]
    const digests = [digestOf(source.manifest), digestOf(source.config), ...layers, ...kept]
    const image = await this.#store.keeping(digests, signal, async () => {
      for (const [position, layer] of source.layers.entries()) {
        await this.#layer(layer)
        this.#report('unpacking', { digest: layer.digest, position, count: source.layers.length })
      }
      for (const blob of others) await this.#blob(blob)
      return await this.#store.images.add(source)
    })
    this.#report('done')
    return image
  }

  async #layer(layer: LayerSource): Promise<void> {
    const { blobs, layers } = this.#store
    const { signal } = this.#options
    if ((await blobs.size(layer.digest)) !== undefined) {
      await layers.ensure(layer.diffId, { source: blobs.path(layer.digest), signal })
      return
    }
    const file = await this.#ownCopy(layer.file)
    try {
      const verified = sameDigest(layer, file)
      const request = { source: file.path, signal, ...(verified ? {} : { expectedDigest: layer.digest }) }
      const unpacked = await layers.ensure(layer.diffId, request)
      if (!verified && !unpacked) await verifyFile(file.path, layer.digest, signal)
      await blobs.adopt(file.path, layer.digest)
    } finally {
      if (!layer.file.owned) await removeTree(file.path)
    }
  }

  async #blob({ digest, file: source }: BlobSource): Promise<void> {
    const { blobs } = this.#store
    if ((await blobs.size(digest)) !== undefined) return
    const file = await this.#ownCopy(source)
    try {
      await verifyFile(file.path, digest, this.#options.signal)
      await blobs.adopt(file.path, digest)
    } finally {
      if (!source.owned) await removeTree(file.path)
    }
  }

  /** A file that nobody else can change between the check of its digest and its place in the store. */
  async #ownCopy(file: ArchiveFile): Promise<ArchiveFile> {
    if (file.owned) return file
    const path = this.#store.session.tmpPath('blob')
    await copyFile(file.path, path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
    return { ...file, path, owned: true }
  }

  #report(phase: ImageProgress['phase'], layer?: ImageProgress['layer']): void {
    const base = { phase, bytes: this.#bytes, totalBytes: this.#totalBytes }
    this.#options.onProgress?.(layer === undefined ? base : { ...base, layer })
  }
}

/** @returns whether the file's digest is known and right, false where it has to be computed. @throws {IntegrityError} */
function sameDigest(layer: LayerSource, file: ArchiveFile): boolean {
  if (file.sha256 === undefined || digestAlgorithm(layer.digest) !== 'sha256') return false
  if (file.sha256 !== layer.digest) throw new IntegrityError('Layer blob', layer.digest, file.sha256)
  return true
}

async function verifyFile(path: string, digest: Digest, signal: AbortSignal | undefined): Promise<void> {
  const actual = await digestFile(path, digestAlgorithm(digest), signal)
  if (actual !== digest) throw new IntegrityError('Layer blob', digest, actual)
}
