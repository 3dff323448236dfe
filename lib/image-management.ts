// SPDX-License-Identifier: MIT
import { Writable } from 'node:stream'
import type { Engine } from './engine.ts'
import { ConflictError, InvalidOptionError, NotFoundError } from './errors.ts'
import type { ImageProgress } from './image-archive/load.ts'
import type { SaveOptions } from './image-archive/save.ts'
import type { Digest } from './oci/digest.ts'
import { checkBoolean, checkObject, checkStrings, checkWord } from './options/checks.ts'
import { checkImageFilters, type ImageFacts, type ImageFilters } from './options/image-filters.ts'
import { tagReference } from './options/image-options.ts'
import type { StoredImage } from './store/image-store.ts'
import type { Store } from './store/store.ts'

/** Options of {@link Image.list}. */
export interface ImageListOptions {
  /** @default Engine.default() */
  engine?: Engine | undefined
  /** Which images; all that is given must fit. @default {} */
  filters?: ImageFilters | undefined
}

/** Options of {@link Image.prune}. */
export interface ImagePruneOptions {
  /** @default Engine.default() */
  engine?: Engine | undefined
  /** `true` removes images without name only; `false` also those with one. Never one that a container uses. @default true */
  dangling?: boolean | undefined
  /** Only images that were made before this moment: a date, its ISO form, or an age such as `24h`. @default any */
  until?: Date | string | undefined
  /** Further filters. @default {} */
  filters?: Pick<ImageFilters, 'label' | 'notLabel' | 'reference'> | undefined
}

/** What {@link Image.prune} did. */
export interface ImagePruneResult {
  readonly removed: readonly { readonly id: Digest; readonly digest: Digest; readonly tags: readonly string[] }[]
  /** Blobs and files of layers that were deleted, in bytes, whatever left them. */
  readonly reclaimedBytes: number
}

/** Options of {@link Image.remove}. */
export interface ImageRemoveOptions {
  /** @default Engine.default() */
  engine?: Engine | undefined
  /** Also while containers use the image, and with tags of several repositories. @default false */
  force?: boolean | undefined
}

/** What {@link Image.remove} did. */
export interface ImageRemoveResult {
  /** References that name nothing any more. */
  readonly untagged: readonly string[]
  /** Whether the image is gone; `false` where it has other tags. */
  readonly deleted: boolean
}

/** Options of {@link Image.save}. */
export interface ImageSaveOptions {
  /**
   * `oci`: an OCI archive, a tar that podman, skopeo, containerd and Docker read, as `docker save` writes it since version 25. `docker`: what it
   * wrote before, for Docker before 1.10. `oci-dir`: an OCI layout as a folder.
   *
   * @default 'oci'
   */
  format?: 'oci' | 'docker' | 'oci-dir' | undefined
  /**
   * Packs layers anew that are packed another way; the image gets another digest then, and keeps its id. Level and bytes depend on
   * the zlib of Node. `zstd` takes Node 22.15. `docker` has plain layers always.
   *
   * @default layers as they are
   */
  compression?: 'gzip' | 'zstd' | 'none' | undefined
  /**
   * Writes the index that the image came with, and the images for all platforms that it names, which must be in the store: a copy
   * that `skopeo copy --all` and `Image.load({ allPlatforms: true })` read. An image that came without one is saved alone. Layers stay
   * as they are; not with format `docker`, which has no place for it.
   *
   * @default false
   */
  allPlatforms?: boolean | undefined
  /**
   * Which of the images' names are written.
   *
   * @default all
   */
  tags?: readonly string[] | undefined
  /** Aborting stops the work, removes what it wrote, and rejects with `signal.reason`. */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: ImageProgress) => void) | undefined
}

/** Images that fit, newest first. */
export async function listImages(store: Store, filters: unknown): Promise<StoredImage[]> {
  const checked = checkImageFilters(filters, Date.now())
  const { before, since } = checked
  const beforeMs = before === undefined ? undefined : createdMs(await store.images.get(before))
  const sinceMs = since === undefined ? undefined : createdMs(await store.images.get(since))
  const dates = { ...(beforeMs === undefined ? {} : { beforeMs }), ...(sinceMs === undefined ? {} : { sinceMs }) }
  const images = (await store.images.list()).filter((image) => checked.fits(factsOf(image), dates))
  // Sorting is stable: of the same date, the one that came last is first.
  return images.reverse().sort((a, b) => createdMs(b) - createdMs(a))
}

/** @throws {InvalidOptionError} */
export async function pruneImages(store: Store, options: Omit<ImagePruneOptions, 'engine'>): Promise<ImagePruneResult> {
  const filters = options.filters === undefined ? {} : checkObject('filters', options.filters, kPruneFilters)
  const onlyDangling = checkBoolean('dangling', options.dangling, true)
  const { until } = options
  const all = { ...filters, ...(until === undefined ? {} : { until }), ...(onlyDangling ? { dangling: true } : {}) }
  const checked = checkImageFilters(all, Date.now())
  const removed = await store.images.prune((image) => checked.fits(factsOf(image)))
  const { bytes } = await store.sweep()
  await store.idle()
  return {
    removed: removed.map(({ id, digest, references }) => ({ id, digest, tags: references })),
    reclaimedBytes: bytes,
  }
}

/** @throws {InvalidOptionError} */
export function checkSaveOptions(
  target: unknown,
  value: unknown,
): SaveOptions & { target: string | Writable; tags: string[] | undefined } {
  const names = ['engine', 'format', 'compression', 'allPlatforms', 'tags', 'signal', 'onProgress']
  const options: Record<string, unknown> = checkObject('', value, names)
  if (!(typeof target === 'string' && target !== '') && !(target instanceof Writable)) {
    throw new InvalidOptionError('target', 'a path or a Writable stream', target)
  }
  const format = checkWord('format', options.format, ['oci', 'docker', 'oci-dir'])
  const given = options.compression
  const compression = given === undefined ? undefined : checkWord('compression', given, ['gzip', 'zstd', 'none'])
  if (format === 'docker' && compression !== undefined && compression !== 'none') {
    throw new InvalidOptionError('compression', "'none' with format 'docker'", given)
  }
  if (format === 'oci-dir' && typeof target !== 'string') {
    throw new InvalidOptionError('target', "a path with format 'oci-dir'", target)
  }
  const allPlatforms = checkBoolean('allPlatforms', options.allPlatforms, false)
  if (allPlatforms && format === 'docker') {
    throw new InvalidOptionError('allPlatforms', "false with format 'docker'", true, "use format 'oci'")
  }
  if (allPlatforms && compression !== undefined) {
    throw new InvalidOptionError('compression', 'none given with allPlatforms', given)
  }
  const tags = options.tags === undefined ? undefined : checkStrings('tags', options.tags).map(tagReference)
  const { signal, onProgress } = options as Pick<ImageSaveOptions, 'signal' | 'onProgress'>
  return { target, format, compression, allPlatforms, tags, signal, onProgress }
}

/** The names of images that a save writes. @param wanted - `undefined` is all. @throws {NotFoundError} for a name that none has. */
export function savedNames(
  images: readonly { readonly tags: readonly string[] }[],
  wanted: readonly string[] | undefined,
): string[][] {
  const missing = wanted?.find((tag) => !images.some(({ tags }) => tags.includes(tag)))
  if (missing !== undefined) throw new NotFoundError(`None of the images to be saved has the tag ${missing}.`)
  return images.map(({ tags }) => tags.filter((tag) => wanted?.includes(tag) ?? true))
}

/** The store of the images of a save, which must be at least one and all in one. */
export function oneStore(stores: readonly Store[]): Store {
  const [first] = stores
  if (first === undefined) throw new InvalidOptionError('images', 'an array of at least one image', [])
  if (stores.every((store) => store === first)) return first
  throw new ConflictError('Cannot save images of several engines together.')
}

const kPruneFilters: readonly string[] = ['label', 'notLabel', 'reference']

function factsOf(image: StoredImage): ImageFacts {
  return {
    references: image.references,
    labels: image.config.config.Labels ?? {},
    createdMs: createdMs(image),
  }
}

function createdMs({ config }: StoredImage): number {
  const ms = Date.parse(config.created ?? '')
  return Number.isNaN(ms) ? 0 : ms
}
