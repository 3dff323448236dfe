import { rename } from 'node:fs/promises'
import { debuglog } from 'node:util'
import { EventLog } from '../events/event-log.ts'
import type { LayerLimits } from '../layer/limits.ts'
import type { Digest } from '../oci/digest.ts'
import { isErrno } from './atomic.ts'
import { BlobStore } from './blob-store.ts'
import { type DiskUsage, measureDiskUsage } from './disk-usage.ts'
import { hostError } from './host-error.ts'
import { ImageIndex } from './image-index.ts'
import { ImageStore, type StoredImage } from './image-store.ts'
import { LayerStore, type UnpackLayer } from './layer-store.ts'
import { kOwnRootHint, prepareLayout, StoreLayout } from './layout.ts'
import { LazyUnpacker } from './lazy-unpacker.ts'
import { acquireLock, type FileLock, type LockOptions } from './lock.ts'
import type { StoreNative } from './native.ts'
import { PartialStore } from './partial.ts'
import { Pins } from './pins.ts'
import { removeTree } from './remove-tree.ts'
import { type RepairReport, repairStore } from './repair.ts'
import { Session } from './session.ts'
import { type Swept, sweepContent } from './sweep.ts'
import { Unsynced, type UnsyncedLayer } from './unsynced.ts'
import { Uses } from './uses.ts'
import { type StoreFault, type VerifyOptions, verifyStore } from './verify.ts'

const debug = debuglog('wherry-store')

/** Unpacking again after a power cut takes its time; other engines that open meanwhile wait. */
const kRestoreTimeoutMs = 600_000

/** How to open a store. */
export interface StoreOptions {
  /** Absolute path; made when absent, with its parents. */
  readonly root: string
  readonly native: StoreNative
  /** @default an `Unpacker` of lib/layer, loaded when the first layer is unpacked */
  readonly unpack?: UnpackLayer
  /** Bounds for layers, unless there is an `unpack`. @default those of lib/layer/limits.ts */
  readonly layerLimits?: Partial<LayerLimits> | undefined
}

/** The state directory of an engine. Any number of processes may have one root open. */
export class Store {
  readonly layout: StoreLayout
  readonly session: Session
  readonly blobs: BlobStore
  readonly layers: LayerStore
  readonly images: ImageStore
  /** What happens on this root, in all processes. */
  readonly events: EventLog
  /** Layers that are not on the disk yet. */
  readonly unsynced: Unsynced
  readonly #index: ImageIndex
  readonly #native: StoreNative
  readonly #uses: Uses
  readonly #unpacker: LazyUnpacker
  readonly #hasOwnUnpacker: boolean
  readonly #background = new Set<Promise<void>>()
  #repaired: RepairReport = {
    deadSessions: [],
    exitedContainers: [],
    idleContainers: [],
    attendedContainers: [],
    trash: [],
  }

  private constructor(layout: StoreLayout, session: Session, options: StoreOptions) {
    const { native } = options
    this.layout = layout
    this.session = session
    this.#native = native
    this.events = new EventLog(layout.events, native)
    this.blobs = new BlobStore(layout, session)
    this.#unpacker = new LazyUnpacker(options.layerLimits)
    this.#hasOwnUnpacker = options.unpack === undefined
    const inBackground = (work: Promise<unknown>, what: string) => this.#inBackground(work, what)
    this.unsynced = new Unsynced({ layout, native, session, inBackground })
    this.layers = new LayerStore(layout, session, this.unsynced, options.unpack ?? this.#unpacker.unpack)
    this.#index = new ImageIndex(layout, session, native)
    const pins = new Pins(session)
    const sweepSoon = (first?: () => Promise<void>) => this.sweepSoon(first)
    this.#uses = new Uses({ layout, native, session, inBackground })
    const { blobs, layers } = this
    this.images = new ImageStore({ index: this.#index, blobs, layers, pins, uses: this.#uses, sweepSoon })
  }

  /**
   * Opens a root, and repairs what killed processes left in it. What repair takes away is deleted in the background.
   *
   * @throws {WherryError} `ERR_STORE_OWNER`, `ERR_STORE_VERSION` @throws {SyscallError} such as on a full or read-only disk.
   */
  static async open(options: StoreOptions): Promise<Store> {
    try {
      return await Store.#open(options)
    } catch (error) {
      const hint = isErrno(error, 'EACCES', 'EPERM', 'EROFS', 'EEXIST', 'ENOTDIR') ? kOwnRootHint : undefined
      throw hostError(`Opening the store ${options.root}`, error, hint)
    }
  }

  static async #open(options: StoreOptions): Promise<Store> {
    const { root, native } = options
    const layout = new StoreLayout(root)
    const sessionId = Session.newId()
    await prepareLayout(layout, sessionId)
    const session = await Session.open(layout, native, sessionId)
    const store = new Store(layout, session, options)
    try {
      await store.repair()
      return store
    } catch (error) {
      await store.close()
      throw error
    }
  }

  get root(): string {
    return this.layout.root
  }

  /** What the repair at opening found: processes and cgroups that it names may still be there. */
  get repaired(): RepairReport {
    return this.#repaired
  }

  /** Removes what dead sessions left. Runs by itself at opening. */
  async repair(): Promise<RepairReport> {
    const { layout, session, events } = this
    const report = await repairStore({ layout, native: this.#native, session, events })
    for (const path of report.trash) this.#delete(path)
    // A load that was killed may have left layers that no image names.
    if (report.deadSessions.length > 0) this.sweepSoon()
    this.#repaired = report
    await this.#restoreUnsynced()
    return report
  }

  /** Layers that another process left unsynced get their sync; those that a power cut has damaged are unpacked again. */
  async #restoreUnsynced(): Promise<void> {
    const layers = await this.unsynced.list()
    if (layers.length === 0) return
    const damaged = await this.#damaged(layers)
    if (damaged.length > 0) {
      await using _lock = await this.lock('unsynced', { timeoutMs: kRestoreTimeoutMs })
      // Again, under the lock: another engine may have done it.
      for (const layer of await this.#damaged(await this.unsynced.list())) await this.#restore(layer)
    }
    this.unsynced.syncSoon()
  }

  /** Layers that a power cut has damaged; and those that are missing from images, since restoring them was interrupted. */
  async #damaged(layers: readonly UnsyncedLayer[]): Promise<UnsyncedLayer[]> {
    const found: UnsyncedLayer[] = []
    for (const layer of layers) {
      // Another engine may be about to publish one that is not there; no image names that one yet.
      const isMissing = async () => !(await this.layers.has(layer.diffId)) && (await this.#imagesOf(layer)).length > 0
      if (layer.isStale || (await isMissing())) found.push(layer)
    }
    return found
  }

  async #imagesOf({ diffId }: UnsyncedLayer): Promise<StoredImage[]> {
    return (await this.images.list()).filter((image) => image.config.rootfs.diff_ids.includes(diffId))
  }

  async #restore(layer: UnsyncedLayer): Promise<void> {
    const { diffId } = layer
    const images = await this.#imagesOf(layer)
    // What was never published, or is swept away since, needs nothing.
    if (images.length === 0 && !(await this.layers.has(diffId))) return await this.unsynced.unmark(diffId)
    await this.discard(this.layout.layer(diffId))
    // The blob of the mark may be that of a pull which never ended, though others have the same layer in another packing.
    const packings = images.map(
      ({ config, manifest }) => manifest.layers[config.rootfs.diff_ids.indexOf(diffId)]?.digest,
    )
    for (const digest of new Set([layer.digest, ...packings])) {
      if (digest !== undefined && (await this.#unpackAgain(diffId, digest))) return
    }
    for (const image of images) await this.images.remove(image.digest, true)
    await this.unsynced.unmark(diffId)
  }

  async #unpackAgain(diffId: Digest, digest: Digest): Promise<boolean> {
    try {
      await this.layers.ensure(diffId, { source: this.blobs.path(digest), expectedDigest: digest })
      return true
    } catch (error) {
      debug('layer %s cannot be restored from %s: %s', diffId, digest, error)
      return false
    }
  }

  /** Takes a named lock of this root. Hold it for moments only. */
  lock(name: string, options?: LockOptions): Promise<FileLock> {
    return acquireLock(this.#native, this.layout.lock(name), options)
  }

  /** Moves a file or directory of this root out of sight at once, and deletes it in the background. */
  async discard(path: string): Promise<void> {
    const target = this.session.tmpPath('trash')
    try {
      await rename(path, target)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return
      throw error
    }
    this.#delete(target)
  }

  /** Deletes content that no image, container or session needs. */
  async sweep(): Promise<Swept> {
    const swept = await sweepContent({
      layout: this.layout,
      session: this.session,
      index: this.#index,
      blobs: this.blobs,
    })
    for (const path of swept.trash) this.#delete(path)
    return swept
  }

  /** Counts what the root holds. @param usedVolumes - names of those that containers have */
  diskUsage(usedVolumes: ReadonlySet<string>): Promise<DiskUsage> {
    const { layout, blobs } = this
    return measureDiskUsage({ layout, blobs, index: this.#index, uses: this.#uses, usedVolumes })
  }

  /** Removes interrupted downloads that were not written to for `lifeMs`. @returns the bytes that this freed. */
  prunePartial(lifeMs: number): Promise<number> {
    return new PartialStore(this.layout, this.#native).removeUnused(Date.now() - lifeMs)
  }

  /** Walks the root and compares it with what it should be, once nothing is deleted in the background. */
  async verify(options: VerifyOptions = {}): Promise<StoreFault[]> {
    await this.idle()
    const { layout, blobs } = this
    return verifyStore({ layout, native: this.#native, blobs, session: this.session, index: this.#index }, options)
  }

  /**
   * Keeps content while `work` makes an image of it. What a failure leaves behind is removed in the background.
   *
   * @param digests - of the blobs and unpacked layers, also of those that are still to come.
   */
  async keeping<T>(digests: readonly Digest[], signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const letGo = await this.images.keep(digests, signal)
    try {
      const result = await work()
      await letGo()
      return result
    } catch (error) {
      this.sweepSoon(letGo)
      throw error
    }
  }

  /** Does {@link sweep} in the background, after `first`. A failure is left to the next sweep. */
  sweepSoon(first?: () => Promise<void>): void {
    const work = async (): Promise<void> => {
      await first?.()
      await this.sweep()
    }
    this.#inBackground(work(), 'sweep')
  }

  /** Has threads started in the background for so many layers that are about to be unpacked. Does nothing with an `unpack` given. */
  expectLayers(count: number): void {
    if (this.#hasOwnUnpacker && count > 0) this.#inBackground(this.#unpacker.prepare(count), 'start of threads')
  }

  /** Waits until nothing is deleted in the background any more. */
  async idle(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background)
  }

  /** Ends the session: background work, then its directory, then its lock. */
  async close(): Promise<void> {
    this.#uses.close()
    await this.#unpacker.close()
    await this.idle()
    await this.events.close()
    await this.session.close()
  }

  #delete(path: string): void {
    this.#inBackground(removeTree(path), `deletion of ${path}`)
  }

  #inBackground(work: Promise<unknown>, what: string): void {
    const done: Promise<void> = work
      .then(
        () => undefined,
        // The next repair tries again.
        (error: unknown) => debug('%s failed: %s', what, error),
      )
      .finally(() => this.#background.delete(done))
    this.#background.add(done)
  }
}
