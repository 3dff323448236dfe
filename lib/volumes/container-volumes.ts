// SPDX-License-Identifier: MIT
import type { ImageRunConfig } from '../oci/merge-config.ts'
import { type ContainerVolume, type VolumePlace, volumeMounts } from '../oci/volume-mounts.ts'
import type { NormalizedContainerOptions, NormalizedVolume } from '../options/container-options.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Rootfs } from '../runtime/slot-factory.ts'
import type { FileLock } from '../store/lock.ts'
import { fillVolumes } from './fill-volumes.ts'
import type { VolumeStore } from './volume-store.ts'

/** A container that has volumes. */
export interface VolumeUser {
  readonly rootfs: Rootfs
  readonly imageConfig: ImageRunConfig
  readonly options: NormalizedContainerOptions
  readonly volumes: readonly ContainerVolume[]
}

/** Volumes of a container that is being made or runs: none of them can be removed until this is let go. */
export class HeldVolumes {
  readonly mounts: readonly NormalizedVolume[]
  readonly #locks: readonly FileLock[]

  constructor(mounts: readonly NormalizedVolume[], locks: readonly FileLock[]) {
    this.mounts = mounts
    this.#locks = locks
  }

  /** Gives options of the container the places of its volumes. */
  in(options: NormalizedContainerOptions): NormalizedContainerOptions {
    return { ...options, mounts: [...options.mounts.filter(({ type }) => type !== 'volume'), ...this.mounts] }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lock of this.#locks) await lock.release()
  }
}

/**
 * Makes the volumes of a container ready: those that do not exist are made, and empty ones filled from its image.
 *
 * @throws what reading the image's files throws; the volumes are empty then. @throws `signal.reason` on abort.
 */
export async function holdVolumes(
  store: VolumeStore,
  runtime: () => Promise<Runtime>,
  user: VolumeUser,
  signal?: AbortSignal,
): Promise<HeldVolumes> {
  const { options, volumes } = user
  const places = new Map<string, VolumePlace>()
  const locks: FileLock[] = []
  try {
    for (const { name, anonymous } of volumes) {
      if (places.has(name)) continue
      const { record, lock } = await store.hold(name, anonymous, signal)
      locks.push(lock)
      places.set(name, store.place(record))
    }
    const mounts = volumeMounts(options, volumes, places)
    await fillVolumes(store, runtime, { ...user, mounts }, signal)
    return new HeldVolumes(mounts, locks)
  } catch (error) {
    await new HeldVolumes([], locks)[Symbol.asyncDispose]()
    throw error
  }
}
