import { ConflictError, InvalidReferenceError, LayerError, NotFoundError } from '../errors.ts'
import { type Digest, digestHex, isDigest } from '../oci/digest.ts'
import {
  type ImageConfig,
  type ImageManifest,
  isManifestMediaType,
  kMaxConfigBytes,
  kMaxManifestBytes,
  parseImageConfig,
  parseManifest,
} from '../oci/image-config.ts'
import { Reference } from '../oci/reference.ts'
import type { BlobStore } from './blob-store.ts'
import { type ImageIndex, type IndexEntry, withReferences } from './image-index.ts'
import type { LayerStore } from './layer-store.ts'
import type { Pins } from './pins.ts'

/** An image of the store, read and verified. */
export interface StoredImage {
  /** Digest of the configuration: the image's id, as in Docker. */
  readonly id: Digest
  /** Digest of the manifest. */
  readonly digest: Digest
  readonly references: readonly string[]
  readonly manifest: ImageManifest
  readonly config: ImageConfig
  readonly unpackedBytes: number
}

/** A manifest and a configuration whose layers and blobs are in the store already. */
export interface NewImage {
  readonly manifest: Uint8Array
  readonly mediaType: string
  readonly config: Uint8Array
  /** Canonical references to give to it; each is taken from the image that had it. */
  readonly references: readonly string[]
}

/** Images by name, id and digest, on top of the list, the blobs and the layers. */
export class ImageStore {
  readonly #index: ImageIndex
  readonly #blobs: BlobStore
  readonly #layers: LayerStore
  readonly #pins: Pins
  readonly #sweepSoon: (first?: () => Promise<void>) => void
  readonly #inUse = new Map<Digest, number>()
  readonly #removedInUse = new Set<Digest>()
  // Only of images that this session keeps: those cannot go, and content never changes under its digest.
  readonly #documents = new Map<Digest, { manifest: ImageManifest; config: ImageConfig }>()

  constructor(parts: {
    index: ImageIndex
    blobs: BlobStore
    layers: LayerStore
    pins: Pins
    sweepSoon: (first?: () => Promise<void>) => void
  }) {
    this.#index = parts.index
    this.#blobs = parts.blobs
    this.#layers = parts.layers
    this.#pins = parts.pins
    this.#sweepSoon = parts.sweepSoon
  }

  /**
   * Finds an image by reference, by id or manifest digest, or by at least four characters of its id, and keeps its content for
   * this session.
   *
   * @throws {NotFoundError} @throws {ConflictError} when the start of an id fits several. @throws {InvalidReferenceError}
   */
  async get(name: string): Promise<StoredImage> {
    const entry = findEntry(await this.#index.read(), name)
    if (this.#pins.has(pinName(entry.digest))) return this.#read(entry)
    return this.#index.shared(async () => {
      // Again, under the lock: it may have been removed meanwhile.
      const image = await this.#read(findEntry(await this.#index.read(), name))
      await this.#pin(image)
      return image
    })
  }

  /** All images; those that cannot be read (another program's entries) are left out. */
  async list(): Promise<StoredImage[]> {
    const images: StoredImage[] = []
    for (const entry of await this.#index.read()) {
      if (entry.mediaType !== '' && !isManifestMediaType(entry.mediaType)) continue
      try {
        images.push(await this.#read(entry))
      } catch (error) {
        if (!(error instanceof NotFoundError || error instanceof LayerError)) throw error
      }
    }
    return images
  }

  /** Keeps content while it is being put together. @returns the function that ends this. */
  async keep(digests: readonly Digest[], signal?: AbortSignal): Promise<() => Promise<void>> {
    const name = await this.#index.shared(() => this.#pins.hold(digests), signal)
    return () => this.#pins.release(name)
  }

  /** Lists a new image, or gives new names to one that is listed. Layers and blobs must be there and kept. */
  async add(image: NewImage): Promise<StoredImage> {
    const digest = await this.#blobs.write(image.manifest)
    const id = await this.#blobs.write(image.config)
    const manifest = parseManifest(image.manifest, digest)
    const config = parseImageConfig(image.config, id)
    let unpackedBytes = 0
    for (const diffId of config.rootfs.diff_ids) unpackedBytes += (await this.#layers.info(diffId)).sizeBytes
    const { os, architecture, variant } = config
    const platform = { os, architecture, ...(variant === undefined ? {} : { variant }) }
    const entry = { digest, id, mediaType: image.mediaType, size: image.manifest.byteLength, unpackedBytes, platform }
    const references = await this.#index.update(async (entries) => {
      const listed = entries.some((other) => other.digest === digest)
      const all = listed ? entries : [...entries, { ...entry, references: [] }]
      const next = withReferences(all, digest, image.references)
      return { entries: next, result: next.find((other) => other.digest === digest)?.references ?? [] }
    })
    const stored = { id, digest, references, manifest, config, unpackedBytes }
    await this.#pin(stored)
    return stored
  }

  /** @returns all references of the image afterwards. */
  tag(digest: Digest, reference: string): Promise<readonly string[]> {
    return this.#change(digest, (entries) => withReferences(entries, digest, [reference]))
  }

  /** @returns all references of the image afterwards. @throws {NotFoundError} when it does not have this one. */
  untag(digest: Digest, reference: string): Promise<readonly string[]> {
    return this.#change(digest, (entries) => {
      if (!entries.some((entry) => entry.digest === digest && entry.references.includes(reference))) {
        throw new NotFoundError(`Image ${digest} has no tag ${reference}.`)
      }
      return entries.map((entry) => ({ ...entry, references: entry.references.filter((other) => other !== reference) }))
    })
  }

  /**
   * Takes an image off the list; what nobody needs any more is deleted in the background.
   *
   * @throws {ConflictError} when a container of this process uses it, unless `force`: its files then stay until that ends.
   */
  async remove(digest: Digest, force: boolean): Promise<void> {
    if (!force && this.#inUse.has(digest)) {
      throw new ConflictError(
        `Image ${digest} is in use by a container.`,
        'remove the container, or pass { force: true }',
      )
    }
    await this.#index.update(async (entries) => {
      const rest = entries.filter((entry) => entry.digest !== digest)
      if (rest.length === entries.length) throw new NotFoundError(`Image ${digest} does not exist.`)
      return { entries: rest, result: undefined }
    })
    if (this.#inUse.has(digest)) this.#removedInUse.add(digest)
    else this.#letGo(digest)
  }

  /** Marks an image as used by a container of this process. No file is touched. @returns the function that ends it. */
  use(digest: Digest): () => void {
    this.#inUse.set(digest, (this.#inUse.get(digest) ?? 0) + 1)
    let ended = false
    return () => {
      if (ended) return
      ended = true
      const count = (this.#inUse.get(digest) ?? 1) - 1
      if (count > 0) this.#inUse.set(digest, count)
      else this.#inUse.delete(digest)
      if (count === 0 && this.#removedInUse.delete(digest)) this.#letGo(digest)
    }
  }

  #letGo(digest: Digest): void {
    this.#documents.delete(digest)
    this.#sweepSoon(() => this.#pins.release(pinName(digest)))
  }

  #change(
    digest: Digest,
    change: (entries: readonly IndexEntry[]) => readonly IndexEntry[],
  ): Promise<readonly string[]> {
    return this.#index.update(async (entries) => {
      if (!entries.some((entry) => entry.digest === digest)) throw new NotFoundError(`Image ${digest} does not exist.`)
      const next = change(entries)
      return { entries: next, result: next.find((entry) => entry.digest === digest)?.references ?? [] }
    })
  }

  async #read(entry: IndexEntry): Promise<StoredImage> {
    const { manifest, config } = this.#documents.get(entry.digest) ?? (await this.#readDocuments(entry.digest))
    const unpackedBytes = entry.unpackedBytes ?? manifest.layers.reduce((sum, layer) => sum + layer.size, 0)
    const { digest, references } = entry
    return { id: manifest.config.digest, digest, references, manifest, config, unpackedBytes }
  }

  async #readDocuments(digest: Digest): Promise<{ manifest: ImageManifest; config: ImageConfig }> {
    const manifest = parseManifest(await this.#blobs.read(digest, kMaxManifestBytes), digest)
    const id = manifest.config.digest
    return { manifest, config: parseImageConfig(await this.#blobs.read(id, kMaxConfigBytes), id) }
  }

  async #pin(image: StoredImage): Promise<void> {
    const { digest, id, manifest, config } = image
    const digests = [digest, id, ...manifest.layers.map((layer) => layer.digest), ...config.rootfs.diff_ids]
    await this.#pins.hold(digests, pinName(digest))
    this.#documents.set(digest, { manifest, config })
  }
}

function pinName(digest: Digest): string {
  return digestHex(digest)
}

function findEntry(entries: readonly IndexEntry[], name: string): IndexEntry {
  const entry = isDigest(name) ? entries.find((e) => e.id === name || e.digest === name) : findByName(entries, name)
  if (entry !== undefined) return entry
  throw new NotFoundError(
    `Image ${JSON.stringify(name)} is not in the store.`,
    'Image.list() shows what is there; Image.load() adds to it what skopeo copy docker://NAME oci-archive:FILE makes.',
  )
}

function findByName(entries: readonly IndexEntry[], name: string): IndexEntry | undefined {
  const byId = /^[0-9a-f]{4,64}$/.test(name) ? entries.filter((e) => hexOf(e.id).startsWith(name)) : []
  const reference = parseUnlessId(name, byId.length > 0)
  const canonical = reference?.toString()
  const byTag = entries.find((e) => canonical !== undefined && e.references.includes(canonical))
  if (byTag !== undefined) return byTag
  if (reference?.digest !== undefined)
    return entries.find((e) => e.digest === reference.digest || e.id === reference.digest)
  if (new Set(byId.map((e) => e.id)).size > 1) {
    throw new ConflictError(`Several images have an id that starts with ${name}.`, 'give more characters of the id')
  }
  return byId[0]
}

function parseUnlessId(name: string, isId: boolean): Reference | undefined {
  try {
    return Reference.parse(name)
  } catch (error) {
    if (error instanceof InvalidReferenceError && (isId || /^[0-9a-f]{64}$/.test(name))) return undefined
    throw error
  }
}

function hexOf(digest: Digest | undefined): string {
  return digest === undefined ? '' : digestHex(digest)
}
