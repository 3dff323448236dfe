// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto'
import type { StoredContainer } from './containers/container-store.ts'
import { type CheckedCreateOptions, randomName } from './containers/create-options.ts'
import { pinNetwork } from './containers/network-join.ts'
import type { ContainerRecord } from './containers/record.ts'
import { toOptions } from './containers/recorded-options.ts'
import type { Engine } from './engine.ts'
import { ConflictError, NotFoundError } from './errors.ts'
import { Image } from './image.ts'
import { containerVolumes } from './oci/volume-mounts.ts'
import { type NormalizedContainerOptions, normalizeContainerOptions } from './options/container-options.ts'
import { healthCheckOf } from './options/health-options.ts'
import { overlayLayers } from './plan/overlay-layers.ts'
import { holdVolumes } from './volumes/container-volumes.ts'
import { VolumeStore } from './volumes/volume-store.ts'

const kNameTries = 20

/**
 * Adds a new container of an image, which must be kept meanwhile.
 *
 * @param reference - the name that the image has or was asked for by.
 * @throws {ConflictError} when another container has its name. @throws {UnsupportedHostError} for too many layers.
 */
export async function addContainer(
  engine: Engine,
  image: Image,
  reference: string | null,
  { name, autoRemove, restart, health, ...kept }: CheckedCreateOptions,
  signal?: AbortSignal,
): Promise<StoredContainer> {
  const { containers } = engine
  const network = await pinNetwork(containers, kept.options.network)
  const recorded = network === undefined ? kept.options : { ...kept.options, network }
  const options = normalizeContainerOptions(kept.command, toOptions(recorded))
  const check = healthCheckOf(health, image.config)
  const record = {
    formatVersion: 1 as const,
    id: randomBytes(32).toString('hex'),
    createdAt: new Date().toISOString(),
    image: { id: image.rootfs.kind === 'host' ? null : image.id, reference },
    rootfs: recordedRootfs(image),
    imageConfig: image.config,
    volumes: containerVolumes(options, image.config, VolumeStore.newName),
    ...(check && { health: check }),
    ...kept,
    options: recorded,
  }
  for (let tries = 1; ; tries++) {
    const state = {
      ...kNewState,
      name: name ?? randomName(),
      content: contentOf(image),
      autoRemove,
      ...(restart && { restart }),
    }
    try {
      await containers.add(record, state)
      await prepareVolumes(engine, record, options, image, signal)
      return { record, state, lastExit: undefined }
    } catch (error) {
      if (name !== undefined || tries >= kNameTries || !(error instanceof ConflictError)) throw error
    }
  }
}

/** Volumes come after the container: whoever is killed in between leaves a container that can be removed, with all that it has. */
async function prepareVolumes(
  engine: Engine,
  { id, volumes, imageConfig }: ContainerRecord,
  options: NormalizedContainerOptions,
  { rootfs }: Image,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { containers } = engine
  if (volumes === undefined || volumes.length === 0) return
  try {
    const user = { rootfs, imageConfig, options, volumes }
    await using _held = await holdVolumes(containers.volumes, () => engine.runtime(), user, signal)
  } catch (error) {
    await using _lock = await containers.lock(id)
    await containers.removeWithVolumes(await containers.read(id))
    throw error
  }
}

/** An id names an image of the store only; a reference, also one that is still in its registry. */
export async function findOrPull(
  name: string,
  engine: Engine,
  signal: AbortSignal | undefined,
  platform?: string,
): Promise<Image> {
  try {
    return await Image.get(name, { engine })
  } catch (error) {
    if (!(error instanceof NotFoundError) || /^(?:sha(?:256|512):)?[0-9a-f]{64,}$/.test(name)) throw error
    return Image.pull(name, { engine, signal, platform })
  }
}

const kNewState = {
  status: 'created' as const,
  pid: null,
  startTimeTicks: null,
  bootId: null,
  startedAt: null,
  finishedAt: null,
  exitCode: null,
  killSignal: null,
  oomKilled: false,
  error: null,
}

function recordedRootfs({ rootfs, layers }: Image): StoredContainer['record']['rootfs'] {
  if (rootfs.kind === 'host') return rootfs
  const diffIds = layers.map(({ diffId }) => diffId)
  overlayLayers(diffIds)
  return { kind: 'layers', diffIds }
}

/** What must stay in the store: the layers as they are unpacked, and what the image can be named and sent again by. */
function contentOf({ id, digest, layers }: Image): string[] {
  if (digest === undefined) return []
  return [digest, id, ...layers.flatMap((layer) => [layer.diffId, layer.digest])]
}
