// SPDX-License-Identifier: MIT
import type { NormalizedContainerOptions, NormalizedVolume } from '../options/container-options.ts'
import { type ImageRunConfig, imageVolumes } from './merge-config.ts'

/** A volume that a container has. */
export interface ContainerVolume {
  /** Path in the container. */
  readonly target: string
  readonly name: string
  /** Whether it was made for this container, and can go with it. */
  readonly anonymous: boolean
}

/** Kernel file systems are there already; an image cannot put anything over them. */
const kKernelPaths = /^\/(?:proc|sys|dev)(?:\/|$)/

/**
 * Lists the volumes of a container: those of its mounts, and those that its image asks for where nothing else is mounted.
 *
 * @param newName - makes the name of an anonymous one.
 */
export function containerVolumes(
  { mounts }: Pick<NormalizedContainerOptions, 'mounts'>,
  image: ImageRunConfig,
  newName: () => string,
): ContainerVolume[] {
  const taken = new Set(mounts.map(({ target }) => target))
  const anonymous = (target: string): ContainerVolume => ({ target, name: newName(), anonymous: true })
  return [
    ...mounts
      .filter((mount) => mount.type === 'volume')
      .map(({ target, source }) => (source === null ? anonymous(target) : { target, name: source, anonymous: false })),
    ...imageVolumes(image)
      .filter((target) => !taken.has(target) && !kKernelPaths.test(target))
      .map(anonymous),
  ]
}

/** Where a volume lies. */
export type VolumePlace = Exclude<NormalizedVolume['place'], null>

/** The volumes of a container as mounts that can be made. @param places - by name; what is absent there is left out */
export function volumeMounts(
  { mounts }: Pick<NormalizedContainerOptions, 'mounts'>,
  volumes: readonly ContainerVolume[],
  places: ReadonlyMap<string, VolumePlace>,
): NormalizedVolume[] {
  return volumes.flatMap(({ target, name }) => {
    const place = places.get(name)
    if (place === undefined) return []
    const mount = mounts.find((each): each is NormalizedVolume => each.type === 'volume' && each.target === target)
    return [{ ...kPlain, ...mount, source: name, target, place }]
  })
}

const kPlain = { type: 'volume', readOnly: false, subpath: null, noCopy: false } as const
