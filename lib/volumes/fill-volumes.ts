// SPDX-License-Identifier: MIT
import { lstat, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileJob } from '../container-files/file-jobs.ts'
import { kDefaultLayerLimits } from '../layer/limits.ts'
import type { ImageRunConfig } from '../oci/merge-config.ts'
import type { NormalizedContainerOptions, NormalizedVolume } from '../options/container-options.ts'
import { serveStopped } from '../runtime/files-slot.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Rootfs } from '../runtime/slot-factory.ts'
import type { FileLock } from '../store/lock.ts'
import { writePrivateFile } from '../store/private-files.ts'
import type { VolumeStore } from './volume-store.ts'

/** Volumes, and the container from whose image they are filled. */
export interface FillRequest {
  readonly rootfs: Rootfs
  readonly imageConfig: ImageRunConfig
  readonly options: NormalizedContainerOptions
  readonly mounts: readonly NormalizedVolume[]
}

const kSigkill = 9
/** File systems of the kernel cover what the image has there. */
const kKernelPaths = /^\/(?:proc|sys|dev)(?:\/|$)/

/**
 * Fills empty volumes from an image, as Docker does: with what it has in the directory that they are mounted on, and its owner and
 * mode; of several such directories, with the first that is not empty. Of several who want to fill one, one does. Where one was
 * killed over it, the next begins anew.
 */
export async function fillVolumes(
  store: VolumeStore,
  runtime: () => Promise<Runtime>,
  request: FillRequest,
  signal: AbortSignal | undefined,
): Promise<void> {
  const wanted = await volumesToFill(store, request)
  if (wanted.length === 0) return
  const fillers: Filler[] = []
  try {
    for (const volume of wanted) {
      const filler = await Filler.begin(store, volume, signal)
      if (filler !== undefined) fillers.push(filler)
    }
    if (fillers.length > 0) await fill(store, await runtime(), request, fillers, signal)
  } finally {
    for (const filler of fillers) await filler.release()
  }
}

/** A volume of a container. */
interface MountedVolume {
  readonly name: string
  /** The first of its mounts. */
  readonly mount: NormalizedVolume
  /** Where the image may have what is to be in it, in the order in which the container has these places. */
  readonly targets: readonly string[]
}

/**
 * The volumes that may have to be filled. Always in one order, so that two who fill the same ones do not wait for each other; each
 * once, so that nobody waits for himself.
 */
async function volumesToFill(store: VolumeStore, request: FillRequest): Promise<MountedVolume[]> {
  const wanted = new Map<string, MountedVolume>()
  for (const mount of request.mounts) {
    const name = nameOf(mount)
    if (wanted.has(name) || !(await isToBeFilled(store, request, mount))) continue
    const targets = request.mounts.filter((each) => nameOf(each) === name && isFilled(each)).map(({ target }) => target)
    wanted.set(name, { name, mount, targets })
  }
  return [...wanted.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

async function fill(
  store: VolumeStore,
  runtime: Runtime,
  request: FillRequest,
  fillers: readonly Filler[],
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await inVolumes(runtime, request, fillers, signal, async ({ isStale, volume: { name, targets } }, place, run) => {
      if (isStale) await run({ kind: 'empty', target: place })
      for (const source of targets) {
        await run({ kind: 'fill', source, target: place, limits: { ...kDefaultLayerLimits } })
        if (!(await store.isEmpty(name))) return
      }
    })
  } catch (error) {
    // Where this fails too, the mark stays, and the next one begins with it.
    await inVolumes(runtime, request, fillers, undefined, (_, target, run) => run({ kind: 'empty', target })).then(
      () => Promise.all(fillers.map((filler) => filler.end())),
      () => undefined,
    )
    throw error
  }
  for (const filler of fillers) await filler.end()
}

/** Whether it must be looked at more closely. */
async function isToBeFilled(store: VolumeStore, { rootfs }: FillRequest, mount: NormalizedVolume): Promise<boolean> {
  if (await isThere(store.fillingMark(nameOf(mount)))) return true
  return isFilled(mount) && (await store.isEmpty(nameOf(mount))) && (await mayHave(rootfs, mount.target))
}

function isFilled({ noCopy, subpath, target }: NormalizedVolume): boolean {
  return !noCopy && subpath === null && !kKernelPaths.test(target)
}

/** Whether an image may have a path: only whether something has its first name. */
async function mayHave(rootfs: Rootfs, path: string): Promise<boolean> {
  const [, first = ''] = path.split('/')
  const roots = rootfs.kind === 'host' ? ['/'] : rootfs.layers.map(({ dir }) => dir)
  for (const root of roots) if (await isThere(join(root, first))) return true
  return false
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}

function nameOf({ source }: NormalizedVolume): string {
  return source ?? ''
}

/** The one who fills a volume. */
class Filler {
  readonly volume: MountedVolume
  /** Whether somebody was killed over it. */
  readonly isStale: boolean
  readonly #mark: string
  readonly #lock: FileLock

  private constructor(volume: MountedVolume, isStale: boolean, mark: string, lock: FileLock) {
    this.volume = volume
    this.isStale = isStale
    this.#mark = mark
    this.#lock = lock
  }

  /** @returns `undefined` where there is nothing to do. */
  static async begin(store: VolumeStore, volume: MountedVolume, signal?: AbortSignal): Promise<Filler | undefined> {
    const { name, targets } = volume
    const lock = await store.fillerLock(name, signal)
    try {
      const mark = store.fillingMark(name)
      if (await isThere(mark)) return new Filler(volume, true, mark, lock)
      if (targets.length > 0 && (await store.isEmpty(name))) {
        await writePrivateFile(mark, '')
        return new Filler(volume, false, mark, lock)
      }
    } catch (error) {
      await lock.release()
      throw error
    }
    await lock.release()
    return undefined
  }

  /** Says that all, or nothing, is there. */
  async end(): Promise<void> {
    await rm(this.#mark)
  }

  async release(): Promise<void> {
    await this.#lock.release()
  }
}

/**
 * Works on volumes from inside of a container of the image: other containers may have them already, and can change them under our
 * hands.
 */
async function inVolumes(
  runtime: Runtime,
  { rootfs, imageConfig, options }: FillRequest,
  fillers: readonly Filler[],
  signal: AbortSignal | undefined,
  workOn: (filler: Filler, place: string, run: (job: FileJob) => Promise<unknown>) => Promise<unknown>,
): Promise<void> {
  const { native, launcher, pool } = runtime
  const places = fillers.map((_, i) => `/dev/wherry-volume-${i}`)
  const volumes = fillers.map(({ volume: { mount } }, i) => ({
    ...mount,
    readOnly: false,
    subpath: null,
    target: places[i] ?? '',
  }))
  signal?.throwIfAborted()
  launcher.hold()
  try {
    const { slot, socket } = await serveStopped(runtime, { rootfs, imageConfig, options, volumes, readOnly: false })
    const stop = (): void => slot.child.kill(kSigkill)
    signal?.addEventListener('abort', stop, { once: true })
    try {
      const run = (job: FileJob): Promise<unknown> => runtime.fileThreads.run(socket, job, signal)
      for (const [i, filler] of fillers.entries()) await workOn(filler, places[i] ?? '', run)
    } finally {
      signal?.removeEventListener('abort', stop)
      native.close(socket)
      slot.child.kill(kSigkill)
      // After a failure somebody else works on them next.
      await slot.child.exited
      pool.discard(slot)
    }
  } finally {
    launcher.unhold()
  }
}
