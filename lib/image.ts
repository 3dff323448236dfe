import { arch } from 'node:process'
import { Readable, type Writable } from 'node:stream'
import { type Engine, engineOf } from './engine.ts'
import { ConflictError, InvalidOptionError } from './errors.ts'
import { importRootfs } from './image-archive/import.ts'
import { type ImageProgress, loadImages } from './image-archive/load.ts'
import { saveImages } from './image-archive/save.ts'
import { tellImage } from './image-events.ts'
import { type ImageHistoryEntry, type ImageInspection, type ImageLayer, layersOf, platformOf } from './image-facts.ts'
import {
  checkSaveOptions,
  type ImageListOptions,
  type ImagePruneOptions,
  type ImagePruneResult,
  type ImageRemoveOptions,
  type ImageRemoveResult,
  type ImageSaveOptions,
  listImages,
  oneStore,
  pruneImages,
  savedNames,
} from './image-management.ts'
import { checkPullOptions, checkPushOptions, type ImagePullOptions, type ImagePushOptions } from './image-transfer.ts'
import type { Digest } from './oci/digest.ts'
import type { ImageRuntimeConfig, Platform } from './oci/image-config.ts'
import { hostPlatform } from './oci/platform.ts'
import { checkAbsolutePath, checkBoolean, checkObject, checkString } from './options/checks.ts'
import { checkDate, checkImageConfig, platformOption, tagReference } from './options/image-options.ts'
import type { StoredImage } from './store/image-store.ts'
import type { PushResult } from './transfer/push.ts'

export type { ImageHistoryEntry, ImageInspection, ImageLayer, ImageProgress }

/** Options of everything that only needs to know the engine. */
export interface ImageEngineOptions {
  /** @default Engine.default() */
  engine?: Engine | undefined
}

/** Options of everything that brings an image into the store. */
export interface ImageSourceOptions extends ImageEngineOptions {
  /** Which image to take where there are several of one name, such as `linux/arm64/v8`. @default this host's */
  platform?: string | undefined
  /** Aborting stops the work, removes what it left, and rejects with `signal.reason`. */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: ImageProgress) => void) | undefined
}

/** Options of {@link Image.load}. */
export interface ImageLoadOptions extends ImageSourceOptions {
  /**
   * Keeps the index of an image for several platforms with everything that it names, so that all of it can be pushed. Only the wanted
   * platform is unpacked; it must be there.
   *
   * @default false
   */
  allPlatforms?: boolean | undefined
}

/** Options of {@link Image.import}. */
export interface ImageImportOptions extends ImageSourceOptions {
  /** What containers of the image get unless they say otherwise: `Cmd`, `Env`, `WorkingDir`, … @default {} */
  config?: ImageRuntimeConfig | undefined
  /** Name to give to the image, such as `my/base:1`. @default none */
  reference?: string | undefined
  /** The image's date; with a fixed one, the same tar gives the same image id. @default now */
  created?: Date | undefined
}

/** Options of {@link Image.host}. */
export interface ImageHostOptions {
  /** Absolute paths of the host that containers shall see empty. @default [] */
  hide?: readonly string[] | undefined
}

/** Where the files of an image's containers come from. @internal */
export type ImageRootfs =
  /** Directories of unpacked layers, oldest first. */
  | { readonly kind: 'layers'; readonly layers: readonly { readonly diffId: Digest; readonly dir: string }[] }
  | { readonly kind: 'host'; readonly hide: readonly string[] }

interface StoredParts {
  readonly engine: Engine
  readonly image: StoredImage
}

/** A read-only template for containers: files in layers, and a configuration. */
export class Image {
  /** Digest of the configuration, as in Docker; `host` for {@link Image.host}. */
  readonly id: string
  /** Digest of the manifest; `undefined` for {@link Image.host}. */
  readonly digest: Digest | undefined
  /** Bytes of all files of all layers. */
  readonly sizeBytes: number
  /** What containers get unless they say otherwise. */
  readonly config: ImageRuntimeConfig
  /** Oldest first; empty for {@link Image.host}. */
  readonly layers: readonly ImageLayer[]
  readonly platform: Platform
  /** @internal */
  readonly rootfs: ImageRootfs
  readonly #stored: StoredParts | undefined
  #tags: readonly string[]

  private constructor(rootfs: ImageRootfs, stored?: StoredParts) {
    const image = stored?.image
    this.rootfs = rootfs
    this.#stored = stored
    this.#tags = image?.references ?? []
    this.id = image?.id ?? 'host'
    this.digest = image?.digest
    this.sizeBytes = image?.unpackedBytes ?? 0
    this.config = image?.config.config ?? {}
    this.layers = image === undefined ? [] : layersOf(image)
    this.platform = image === undefined ? hostPlatform(arch) : platformOf(image.config)
  }

  /**
   * The host's own files as an image: its root is the lower layer, nothing is copied, and what containers write never reaches
   * the host. As root, container root can read what root can read on the host, also files of mode 0600 such as /etc/shadow and
   * private keys: name what it shall not see in `hide`. The state directory is always hidden.
   *
   * @throws {InvalidOptionError}
   */
  static host(options: ImageHostOptions = {}): Image {
    const { hide = [] } = checkObject('', options, ['hide'])
    if (!Array.isArray(hide)) throw new InvalidOptionError('hide', 'an array of absolute paths', hide)
    const paths = hide.map((path, position) => checkAbsolutePath(`hide[${position}]`, path))
    if (paths.includes('/')) throw new InvalidOptionError('hide', `paths below '/'`, '/')
    return new Image({ kind: 'host', hide: paths })
  }

  /**
   * Gets an image from its registry, unless it is in the store. Digests and sizes are verified before anything is usable; pulls of
   * one blob, in this process and others, share its download; what was interrupted, by a kill too, is gone on with.
   *
   * @param reference - such as `alpine`, `ghcr.io/o/r:tag` or `name:tag@sha256:…`.
   * @returns when containers can be started from it.
   * @throws {NotFoundError} @throws {RegistryAuthError} @throws {RegistryError} @throws {PlatformError} naming what there is.
   * @throws {UnsupportedImageError} for schema 1, artifacts, encrypted and foreign layers. @throws {IntegrityError} @throws {LayerError}
   * @example
   * const image = await Image.pull('alpine:3.20', { onProgress: ({ phase, digest }) => console.log(phase, digest) })
   */
  static async pull(reference: string, options: ImagePullOptions = {}): Promise<Image> {
    const pull = checkPullOptions(reference, options)
    const engine = await engineOf(options)
    const image = Image.#fromStore(engine, await pull(engine))
    await tellImage(engine, 'pull', image.id, reference)
    return image
  }

  /**
   * Finds an image of the store by reference (`alpine`, `ghcr.io/o/r:tag`, `name@sha256:…`), by id, or by the first
   * four or more characters of its id.
   *
   * @throws {NotFoundError} @throws {InvalidReferenceError} @throws {ConflictError} when the start of an id fits several.
   */
  static async get(refOrId: string, options: ImageEngineOptions = {}): Promise<Image> {
    checkObject('', options, ['engine'])
    const engine = await engineOf(options)
    return Image.#fromStore(engine, await engine.store.images.get(checkString('refOrId', refOrId)))
  }

  /**
   * Images of the store, the newest first, by the dates that they carry.
   *
   * @throws {InvalidOptionError} @throws {NotFoundError} when an image that a filter names is not there.
   * @example
   * await Image.list({ filters: { reference: 'ghcr.io/*\/*', label: 'stage=test', until: '24h' } })
   */
  static async list(options: ImageListOptions = {}): Promise<Image[]> {
    checkObject('', options, ['engine', 'filters'])
    const engine = await engineOf(options)
    return (await listImages(engine.store, options.filters)).map((image) => Image.#fromStore(engine, image))
  }

  /**
   * Removes images that no container uses: those without name, or with `dangling: false` all. Content that nothing needs is deleted
   * when this resolves.
   *
   * @throws {InvalidOptionError}
   */
  static async prune(options: ImagePruneOptions = {}): Promise<ImagePruneResult> {
    checkObject('', options, ['engine', 'dangling', 'until', 'filters'])
    return pruneImages((await engineOf(options)).store, options)
  }

  /**
   * Removes by name, as `docker rmi` does: a tag of several is taken away, and the image goes with its last. An id, the start of one
   * or a digest stands for the image with all its tags.
   *
   * @throws {NotFoundError} @throws {InvalidReferenceError}
   * @throws {ConflictError} when a container uses the image, or an id has tags of several repositories; not with `force`.
   */
  static async remove(refOrId: string, options: ImageRemoveOptions = {}): Promise<ImageRemoveResult> {
    checkObject('', options, ['engine', 'force'])
    const name = checkString('refOrId', refOrId)
    const force = checkBoolean('force', options.force, false)
    const engine = await engineOf(options)
    const named = await engine.store.images.get(name).catch(() => undefined)
    const { untagged, deleted } = await engine.store.images.removeByName(name, force)
    for (const reference of untagged) await tellImage(engine, 'untag', named?.id ?? reference, reference)
    for (const digest of deleted) await tellImage(engine, 'delete', named?.id ?? digest)
    return { untagged, deleted: deleted.length > 0 }
  }

  /**
   * Saves several images together, as {@link Image.save} does one: what they share is written once.
   *
   * @throws {ConflictError} where they belong to different engines. @throws {NotFoundError} for a tag that none has.
   */
  static async save(
    images: readonly Image[],
    target: string | Writable,
    options: ImageSaveOptions = {},
  ): Promise<void> {
    const checked = checkSaveOptions(target, options)
    if (!Array.isArray(images)) throw new InvalidOptionError('images', 'an array of images', images)
    const parts = images.map((image) => {
      if (image instanceof Image) return image.#parts('save')
      throw new InvalidOptionError('images', 'an array of images', image)
    })
    const store = oneStore(parts.map(({ engine }) => engine.store))
    const names = savedNames(images, checked.tags)
    const stored = parts.map(({ image }, position) => ({ ...image, references: names[position] ?? [] }))
    await saveImages(store, stored, checked.target, checked)
  }

  /**
   * Loads all images of an archive made by `docker save`, `podman save`, `skopeo` and the like (docker-archive or OCI archive,
   * plain or gzip), or of an OCI layout folder. Every digest is verified; an image is in the store whole or not at all.
   *
   * @param source - path of the archive or folder, or a stream of an archive.
   * @returns one image per image of the archive, in its order.
   * @throws {LayerError} naming the member or entry. @throws {IntegrityError} @throws {PlatformError} @throws {NotFoundError}
   */
  static async load(source: string | Readable, options: ImageLoadOptions = {}): Promise<Image[]> {
    checkObject('', options, ['engine', 'platform', 'allPlatforms', 'signal', 'onProgress'])
    checkSource(source)
    const platform = platformOption(options.platform, arch)
    const isPlatformGiven = options.platform !== undefined
    const allPlatforms = checkBoolean('allPlatforms', options.allPlatforms, false)
    const engine = await engineOf(options)
    const { signal, onProgress } = options
    const images = await loadImages(engine.store, source, {
      platform,
      isPlatformGiven,
      allPlatforms,
      signal,
      onProgress,
    })
    for (const { id, references } of images) await tellImage(engine, 'load', id, references[0])
    return images.map((image) => Image.#fromStore(engine, image))
  }

  /**
   * Makes an image with one layer from the tar of a root file system (plain, gzip or zstd).
   *
   * @param source - path of the tar, or a stream.
   * @throws {LayerError} naming the entry. @throws {NotFoundError} @throws {InvalidOptionError} @throws {InvalidReferenceError}
   */
  static async import(source: string | Readable, options: ImageImportOptions = {}): Promise<Image> {
    checkObject('', options, ['engine', 'platform', 'signal', 'onProgress', 'config', 'reference', 'created'])
    checkSource(source)
    const platform = platformOption(options.platform, arch)
    const config = checkImageConfig(options.config)
    const created = checkDate(options.created)
    const references = options.reference === undefined ? [] : [tagReference(options.reference)]
    const engine = await engineOf(options)
    const { signal, onProgress } = options
    let bytes = 0
    const onBytes = (count: number): void => {
      bytes += count
      onProgress?.({ phase: 'reading', bytes, totalBytes: undefined })
    }
    const image = await importRootfs(engine.store, source, { platform, config, references, created, signal, onBytes })
    onProgress?.({ phase: 'done', bytes, totalBytes: bytes })
    await tellImage(engine, 'import', image.id, options.reference)
    return Image.#fromStore(engine, image)
  }

  static #fromStore(engine: Engine, image: StoredImage): Image {
    const { store } = engine
    const layers = image.config.rootfs.diff_ids.map((diffId) => ({ diffId, dir: store.layers.path(diffId) }))
    return new Image({ kind: 'layers', layers }, { engine, image })
  }

  /** Canonical references, such as `docker.io/library/alpine:3.20`, as of the last call on this object. */
  get tags(): readonly string[] {
    return this.#tags
  }

  /** Gives the image another name; an image that had it loses it. @throws {InvalidReferenceError} @throws {NotFoundError} */
  async tag(reference: string): Promise<void> {
    const { engine, image } = this.#parts('tag')
    this.#tags = await engine.store.images.tag(image.digest, tagReference(reference))
    await tellImage(engine, 'tag', image.id, reference)
  }

  /** Takes a name from the image. The image stays, also without any name. @throws {NotFoundError} when it has no such name. */
  async untag(reference: string): Promise<void> {
    const { engine, image } = this.#parts('untag')
    this.#tags = await engine.store.images.untag(image.digest, tagReference(reference))
    await tellImage(engine, 'untag', image.id, reference)
  }

  /**
   * Removes the image with all its names; layers and blobs that no other image needs are deleted in the background.
   *
   * @param options - `force`: also while containers use it; its files then stay until they end.
   * @throws {ConflictError} when it is in use. @throws {NotFoundError} when it is not there any more.
   */
  async remove(options: { force?: boolean | undefined } = {}): Promise<void> {
    checkObject('', options, ['force'])
    const { engine, image } = this.#parts('remove')
    await engine.store.images.remove(image.digest, options.force === true)
    await tellImage(engine, 'delete', image.id)
    this.#tags = []
  }

  /**
   * Writes the image with its tags, or some of them, to an archive or a folder. A path gets the whole result, or keeps what it had; a stream is ended,
   * or destroyed with the error. The same image gives the same bytes.
   *
   * @param target - path of a file (of a folder that does not exist or is empty, for `oci-dir`), or a stream.
   * @throws {InvalidOptionError} @throws {NotFoundError} when it has been removed. @throws {SyscallError} when writing fails.
   * @throws {ConflictError} where a path is a directory that is not empty.
   */
  save(target: string | Writable, options: ImageSaveOptions = {}): Promise<void> {
    return Image.save([this], target, options)
  }

  /**
   * Sends the image to a registry: blobs that the repository lacks, then the manifest. Blobs that the registry has in another
   * repository, by the names of images in the store, are mounted from there.
   *
   * @param reference - where to. @default the image's only name
   * @throws {RegistryAuthError} @throws {RegistryError} @throws {NotFoundError} when the store lacks a part.
   */
  async push(reference?: string, options: ImagePushOptions = {}): Promise<PushResult> {
    const { engine, image } = this.#parts('push')
    engine.assertOpen()
    const result = await checkPushOptions(reference, { ...image, references: this.#tags }, options)(engine)
    await tellImage(engine, 'push', image.id, reference ?? this.#tags[0])
    return result
  }

  /** How the image was made, oldest step first. */
  async history(): Promise<ImageHistoryEntry[]> {
    const steps = this.#stored?.image.config.history ?? []
    let next = 0
    return steps.map((step) => ({
      created: step.created,
      createdBy: step.created_by,
      comment: step.comment,
      layer: step.empty_layer === true ? undefined : this.layers[next++],
    }))
  }

  /** Everything known of the image, as plain data that `JSON.stringify` prints. */
  async inspect(): Promise<ImageInspection> {
    const { id, digest, tags, sizeBytes, platform, config, layers } = this
    const created = this.#stored?.image.config.created
    return { id, digest, tags, sizeBytes, created, platform, config, layers, history: await this.history() }
  }

  /** Marks the image as used by a container, until the function it returns is called. Touches no file. @internal */
  use(): () => void {
    if (this.#stored === undefined) return () => undefined
    return this.#stored.engine.store.images.use(this.#stored.image.digest)
  }

  #parts(operation: string): StoredParts {
    if (this.#stored !== undefined) return this.#stored
    throw new ConflictError(`Cannot ${operation} the image of the host: it is not in the store.`)
  }
}

function checkSource(source: unknown): void {
  if (typeof source === 'string' || source instanceof Readable) return
  throw new InvalidOptionError('source', 'a path or a Readable stream', source)
}
