// SPDX-License-Identifier: MIT
import type { ImageRunConfig } from '../oci/merge-config.ts'
import { containerVolumes } from '../oci/volume-mounts.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import type { NetworkJoin } from '../runtime/network-join.ts'
import { type RunOutcome, runContainer } from '../runtime/run-container.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Rootfs } from '../runtime/slot-factory.ts'
import { holdVolumes } from './container-volumes.ts'
import { VolumeStore } from './volume-store.ts'

/**
 * Runs a container, with volumes held meanwhile. Anonymous ones are part of its writable layer: that holds what the image has there
 * and goes with the run, which is all that they are for.
 */
export async function runWithVolumes(
  store: VolumeStore,
  runtime: Runtime,
  image: { rootfs: Rootfs; config: ImageRunConfig },
  options: NormalizedContainerOptions,
  join?: NetworkJoin,
): Promise<RunOutcome> {
  if (options.mounts.every(({ type }) => type !== 'volume')) return runContainer(runtime, image, options, join)
  const { rootfs, config } = image
  const own = options.mounts.filter((mount) => mount.type === 'volume' && mount.source === null)
  const imageConfig = {
    ...config,
    Volumes: { ...config.Volumes, ...Object.fromEntries(own.map(({ target }) => [target, {}])) },
  }
  const volumes = containerVolumes(options, config, VolumeStore.newName).filter(({ anonymous }) => !anonymous)
  const user = { rootfs, imageConfig: config, options, volumes }
  const signal = options.signal ?? undefined
  await using held = await holdVolumes(store, async () => runtime, user, signal)
  return await runContainer(runtime, { rootfs, config: imageConfig }, held.in(options), join)
}
