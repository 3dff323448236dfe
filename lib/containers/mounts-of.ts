// SPDX-License-Identifier: MIT
import type { VolumeStore } from '../volumes/volume-store.ts'
import type { StoredContainer } from './container-store.ts'
import { optionsIfKnown } from './recorded-options.ts'

/** A mount of a container, as {@link Container.inspect} tells of it. */
export interface ContainerMount {
  readonly type: 'bind' | 'volume' | 'tmpfs'
  /** Of a volume. */
  readonly name: string | undefined
  /** On the host; a tmpfs has none. */
  readonly source: string | undefined
  /** In the container. */
  readonly target: string
  readonly readOnly: boolean
  /** Whether it is a volume that was made for this container. */
  readonly anonymous: boolean
}

/** The mounts of a container's options, and the volumes that its image asks for. */
export function mountsOf({ record }: StoredContainer, volumes: VolumeStore): ContainerMount[] {
  const mounts = optionsIfKnown(record)?.mounts ?? []
  const others = mounts.flatMap((mount): ContainerMount[] => {
    if (mount.type === 'volume') return []
    const { type, target, readOnly } = mount
    return [
      { type, name: undefined, source: type === 'bind' ? mount.source : undefined, target, readOnly, anonymous: false },
    ]
  })
  const own = (record.volumes ?? []).map(({ name, target, anonymous }): ContainerMount => {
    const readOnly = mounts.some((mount) => mount.target === target && mount.readOnly)
    return { type: 'volume', name, source: volumes.dataPath(name), target, readOnly, anonymous }
  })
  return [...others, ...own]
}
