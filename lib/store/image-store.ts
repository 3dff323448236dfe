import { ConflictError, IntegrityError, LayerError, NotFoundError } from '../errors.ts'
import { type Digest, digestHex, isDigest } from '../oci/digest.ts'
import {
  type ImageConfig,
  type ImageManifest,
  isManifestMediaType,
  kMaxConfigBytes,
  kMaxManifestBytes,
  kMediaType,
  parseImageConfig,
  parseManifest,
} from '../oci/image-config.ts'
import { Reference } from '../oci/reference.ts'
import { isTemplateReference } from '../oci/template-reference.ts'
import type { BlobStore } from './blob-store.ts'
import { findEntry } from './find-image.ts'
import { type ImageIndex, type IndexEntry, withReferences } from './image-index.ts'
import type { LayerStore } from './layer-store.ts'
import type { Pins } from './pins.ts'
import type { Uses } from './uses.ts'

/** An image of the store, read and verified. */
export interface StoredImage {
  /** Digest of the configuration: the image's id, as in Docker. */
  readonly id: Digest
  /** Digest of the manifest. */
  readonly digest: Digest
  /** Digest of the index that the image was chosen from, where it came with one: that blob is in the store too. */
  readonly indexDigest: Digest | undefined
  readonly references: readonly string[]
  readonly mediaType: string
  readonly manifest: ImageManifest
  readonly config: ImageConfig
  readonly unpackedBytes: number
}

/** All blobs of an image, without its index: manifest, configuration, layers. */
export function blobsOf({ digest, id, manifest }: StoredImage): Digest[] {
  return [digest, id, ...manifest.layers.map((layer) => layer.digest)]
}

/** A manifest and a configuration whose layers and blobs are in the store already. */
export interface NewImage {
  readonly manifest: Uint8Array
  readonly mediaType: string
  readonly config: Uint8Array
  /** Canonical references to give to it; each is taken from the image that had it. */
  readonly references: readonly string[]
  /**
   * The index (manifest list) that names this manifest, where it was chosen from one. It is kept as a blob with the image; the
   * manifests that it names for other platforms are kept too where they are in the store, and may be absent.
   */
  readonly index?: Uint8Array | undefined
}

/** What {@link ImageStore.removeByName} did. */
export interface Removal {
  /** References that name nothing any more. */
  readonly untagged: readonly string[]
  /** Manifests of the images that are gone. */
  readonly deleted: readonly Digest[]
}

/** Images by name, id and digest, on top of the list, the blobs and the layers. */
export class ImageStore {
  readonly #index: ImageIndex
  readonly #blobs: BlobStore
  readonly #layers: LayerStore
  readonly #pins: Pins
  readonly #sweepSoon: (first?: () => Promise<void>) => void
  readonly #uses: Uses
  readonly #removedInUse = new Set<Digest>()
  // Only of images that this session keeps: those cannot go, and content never changes under its digest.
  readonly #documents = new Map<Digest, { manifest: ImageManifest; config: ImageConfig }>()

  constructor(parts: {
    index: ImageIndex
    blobs: BlobStore
    layers: LayerStore
    pins: Pins
    uses: Uses
    sweepSoon: (first?: () => Promise<void>) => void
  }) {
    this.#index = parts.index
    this.#blobs = parts.blobs
    this.#layers = parts.layers
    this.#pins = parts.pins
    this.#uses = parts.uses
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

  /** Whether an image has a name, in its canonical form. Reads the list, and no image. */
  async hasName(reference: string): Promise<boolean> {
    return (await this.#index.read()).some(({ references }) => references.includes(reference))
  }

  /** All images, in the order in which they came; those that cannot be read (another program's entries, a damaged disk) are left out. */
  async list(): Promise<StoredImage[]> {
    return this.#readAll(await this.#index.read())
  }

  /** Reads an image that may have been taken off the list; somebody must keep its content. */
  async unlisted(digest: Digest): Promise<StoredImage> {
    const { manifest, config } = await this.#readDocuments(digest)
    return describe({ digest, references: [], mediaType: '' }, manifest, config)
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
    const index = image.index === undefined ? undefined : await this.#blobs.write(image.index)
    const manifest = parseManifest(image.manifest, digest)
    const config = parseImageConfig(image.config, id)
    let unpackedBytes = 0
    for (const diffId of config.rootfs.diff_ids) unpackedBytes += (await this.#layers.info(diffId)).sizeBytes
    const { os, architecture, variant } = config
    const platform = { os, architecture, ...(variant === undefined ? {} : { variant }) }
    const size = image.manifest.byteLength
    const added = { digest, id, mediaType: image.mediaType, size, unpackedBytes, index, platform, references: [] }
    const entry = await this.#index.update(async (entries) => {
      const known = entries.find((other) => other.digest === digest)
      const listed = known === undefined ? added : { ...known, index: index ?? known.index }
      const others = entries.map((other) => (other === known ? listed : other))
      const next = withReferences(known === undefined ? [...others, listed] : others, digest, image.references)
      return { entries: next, result: next.find((other) => other.digest === digest) ?? listed }
    })
    const stored = { ...describe(entry, manifest, config), unpackedBytes }
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
   * @throws {ConflictError} when a container uses it, unless `force`: its files then stay until that ends.
   */
  async remove(digest: Digest, force: boolean): Promise<void> {
    await this.#index.update(async (entries) => {
      const rest = entries.filter((entry) => entry.digest !== digest)
      if (rest.length === entries.length) throw new NotFoundError(`Image ${digest} does not exist.`)
      if (!force) await this.#throwIfInUse([digest])
      return { entries: rest, result: undefined }
    })
    this.#forget([digest])
  }

  /**
   * Removes by name, as `docker rmi` does: a tag goes, and the image with its last tag. An id or digest stands for the image
   * with all its tags, which must be of one repository unless `force`.
   *
   * @throws {NotFoundError} @throws {ConflictError} @throws {InvalidReferenceError}
   */
  async removeByName(name: string, force: boolean): Promise<Removal> {
    const removal = await this.#index.update(async (entries) => {
      const { untagged, deleted } = planRemoval(entries, name, force)
      if (!force) await this.#throwIfInUse(deleted)
      const next = entries
        .filter((entry) => !deleted.includes(entry.digest))
        .map((entry) => ({ ...entry, references: entry.references.filter((each) => !untagged.includes(each)) }))
      return { entries: next, result: { untagged, deleted } }
    })
    this.#forget(removal.deleted)
    return removal
  }

  /**
   * Takes all images off the list that `select` says, except those of templates and those that containers use.
   *
   * @returns what is gone; a sweep deletes the content.
   */
  async prune(select: (image: StoredImage) => boolean): Promise<StoredImage[]> {
    const removed = await this.#index.update(async (entries) => {
      const users = await this.#uses.all()
      const images = (await this.#readAll(entries)).filter(
        (image) => !users.has(image.digest) && !isOfTemplate(image) && select(image),
      )
      const digests = new Set(images.map((image) => image.digest))
      if (digests.size === 0) return { result: images }
      return { entries: entries.filter((entry) => !digests.has(entry.digest)), result: images }
    })
    for (const { digest } of removed) {
      this.#documents.delete(digest)
      await this.#pins.release(pinName(digest))
    }
    return removed
  }

  /** Marks an image as used by a container of this process. No file is waited for. @returns the function that ends it. */
  use(digest: Digest): () => void {
    this.#uses.add(digest)
    let ended = false
    return () => {
      if (ended) return
      ended = true
      if (this.#uses.remove(digest) && this.#removedInUse.delete(digest)) this.#letGo(digest)
    }
  }

  #forget(digests: readonly Digest[]): void {
    for (const digest of digests) {
      if (this.#uses.has(digest)) this.#removedInUse.add(digest)
      else this.#letGo(digest)
    }
  }

  async #throwIfInUse(digests: readonly Digest[]): Promise<void> {
    const users = digests.length === 0 ? undefined : await this.#uses.all()
    for (const digest of digests) {
      const user = users?.get(digest)
      if (user === undefined) continue
      const hint = 'remove the container, or pass { force: true }'
      throw new ConflictError(`Image ${digest} is in use by ${user}.`, hint)
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

  async #readAll(entries: readonly IndexEntry[]): Promise<StoredImage[]> {
    const images: StoredImage[] = []
    for (const entry of entries) {
      if (entry.mediaType !== '' && !isManifestMediaType(entry.mediaType)) continue
      try {
        images.push(await this.#read(entry))
      } catch (error) {
        if (!(error instanceof NotFoundError || error instanceof LayerError || error instanceof IntegrityError))
          throw error
      }
    }
    return images
  }

  async #read(entry: IndexEntry): Promise<StoredImage> {
    const { manifest, config } = this.#documents.get(entry.digest) ?? (await this.#readDocuments(entry.digest))
    return describe(entry, manifest, config)
  }

  async #readDocuments(digest: Digest): Promise<{ manifest: ImageManifest; config: ImageConfig }> {
    const manifest = parseManifest(await this.#blobs.read(digest, kMaxManifestBytes), digest)
    const id = manifest.config.digest
    return { manifest, config: parseImageConfig(await this.#blobs.read(id, kMaxConfigBytes), id) }
  }

  async #pin(image: StoredImage): Promise<void> {
    const { digest, indexDigest, manifest, config } = image
    const index = indexDigest === undefined ? [] : [indexDigest]
    const digests = [...blobsOf(image), ...index, ...config.rootfs.diff_ids]
    await this.#pins.hold(digests, pinName(digest))
    this.#documents.set(digest, { manifest, config })
  }
}

function pinName(digest: Digest): string {
  return digestHex(digest)
}

function isOfTemplate({ references }: StoredImage): boolean {
  return references.some(isTemplateReference)
}

type Described = Pick<IndexEntry, 'digest' | 'references' | 'mediaType'> &
  Partial<Pick<IndexEntry, 'index' | 'unpackedBytes'>>

function describe(entry: Described, manifest: ImageManifest, config: ImageConfig): StoredImage {
  const { digest, references, index: indexDigest } = entry
  const unpackedBytes = entry.unpackedBytes ?? manifest.layers.reduce((sum, layer) => sum + layer.size, 0)
  const mediaType = manifest.mediaType ?? (entry.mediaType === '' ? kMediaType.manifest : entry.mediaType)
  return { id: manifest.config.digest, digest, indexDigest, references, mediaType, manifest, config, unpackedBytes }
}

function planRemoval(entries: readonly IndexEntry[], name: string, force: boolean): Removal {
  const entry = findEntry(entries, name)
  const tag = isDigest(name) ? undefined : tagAmong(entry.references, name)
  if (tag !== undefined) return { untagged: [tag], deleted: entry.references.length === 1 ? [entry.digest] : [] }
  // By id: several manifests may have that configuration. By the digest of a manifest: that one.
  const isManifest = name.endsWith(entry.digest)
  const all = isManifest ? [entry] : entries.filter((other) => other === entry || other.id === (entry.id ?? ''))
  const untagged = all.flatMap((each) => each.references)
  const repositories = new Set(untagged.map((reference) => Reference.parse(reference).name))
  if (repositories.size > 1 && !force) {
    const hint = 'remove its tags one by one, or pass { force: true }'
    throw new ConflictError(
      `Image ${entry.id ?? entry.digest} has tags in several repositories: ${untagged.join(', ')}.`,
      hint,
    )
  }
  return { untagged, deleted: all.map((each) => each.digest) }
}

/** The reference that a name spells, `undefined` for (the start of) an id. */
function tagAmong(references: readonly string[], name: string): string | undefined {
  try {
    const reference = Reference.parse(name).toString()
    return references.find((each) => each === reference)
  } catch {
    return undefined
  }
}
