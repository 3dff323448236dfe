// SPDX-License-Identifier: MIT
import { lstat, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileJob } from '../container-files/file-jobs.ts'
import { kDefaultLayerLimits } from '../layer/limits.ts'
import type { ImageRunConfig } from '../oci/merge-config.ts'
import type { NormalizedContainerOptions, NormalizedVolume } from '../options/container-options.ts'
import { serveStopped } from '../runtime/files-slot.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Rootfs } from '../runtime/slot-factory.ts'
import type { FileLock } from '../store/lock.ts'
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
 * mode. Of several who want to fill one, one does. Where one was killed over it, the next begins anew.
 */
export async function fillVolumes(
  store: VolumeStore,
  runtime: () => Promise<Runtime>,
  request: FillRequest,
  signal: AbortSignal | undefined,
): Promise<void> {
  const wanted: NormalizedVolume[] = []
  for (const mount of request.mounts) if (await isToBeFilled(store, request, mount)) wanted.push(mount)
  if (wanted.length === 0) return
  const fillers: Filler[] = []
  try {
    // Always in one order, so that two who fill the same volumes do not wait for each other.
    for (const mount of wanted.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))) {
      const filler = await Filler.begin(store, mount, signal)
      if (filler !== undefined) fillers.push(filler)
    }
    if (fillers.length > 0) await fill(await runtime(), request, fillers, signal)
  } finally {
    for (const filler of fillers) await filler.release()
  }
}

async function fill(
  runtime: Runtime,
  request: FillRequest,
  fillers: readonly Filler[],
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await inVolumes(runtime, request, fillers, signal, (filler, place) => [
      ...(filler.isStale ? [{ kind: 'empty', target: place } as const] : []),
      ...(isFilled(filler.mount)
        ? [{ kind: 'fill', source: filler.mount.target, target: place, limits: { ...kDefaultLayerLimits } } as const]
        : []),
    ])
  } catch (error) {
    // Where this fails too, the mark stays, and the next one begins with it.
    await inVolumes(runtime, request, fillers, undefined, (_, target) => [{ kind: 'empty', target }]).then(
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
  readonly mount: NormalizedVolume
  /** Whether somebody was killed over it. */
  readonly isStale: boolean
  readonly #store: VolumeStore
  readonly #lock: FileLock

  private constructor(store: VolumeStore, mount: NormalizedVolume, isStale: boolean, lock: FileLock) {
    this.#store = store
    this.mount = mount
    this.isStale = isStale
    this.#lock = lock
  }

  /** @returns `undefined` where there is nothing to do. */
  static async begin(store: VolumeStore, mount: NormalizedVolume, signal?: AbortSignal): Promise<Filler | undefined> {
    const name = nameOf(mount)
    const lock = await store.fillerLock(name, signal)
    try {
      const mark = store.fillingMark(name)
      if (await isThere(mark)) return new Filler(store, mount, true, lock)
      if (isFilled(mount) && (await store.isEmpty(name))) {
        await writeFile(mark, '', { mode: 0o600 })
        return new Filler(store, mount, false, lock)
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
    await rm(this.#store.fillingMark(nameOf(this.mount)))
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
  jobsOf: (filler: Filler, place: string) => FileJob[],
): Promise<void> {
  const { native, launcher, pool } = runtime
  const places = fillers.map((_, i) => `/dev/wherry-volume-${i}`)
  const volumes = fillers.map(({ mount }, i) => ({ ...mount, readOnly: false, subpath: null, target: places[i] ?? '' }))
  signal?.throwIfAborted()
  launcher.hold()
  try {
    const { slot, socket } = await serveStopped(runtime, { rootfs, imageConfig, options, volumes, readOnly: false })
    const stop = (): void => slot.child.kill(kSigkill)
    signal?.addEventListener('abort', stop, { once: true })
    try {
      for (const job of fillers.flatMap((filler, i) => jobsOf(filler, places[i] ?? ''))) {
        await runtime.fileThreads.run(socket, job, signal)
      }
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
