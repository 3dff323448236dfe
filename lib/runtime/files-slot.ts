// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { ImageRunConfig } from '../oci/merge-config.ts'
import type { ContainerOptions } from '../options/container-options.ts'
import { normalizeContainerOptions } from '../options/normalize-container-options.ts'
import type { ResolvedUser } from '../rootfs/users.ts'
import type { Runtime } from './runtime.ts'
import type { Slot } from './slot.ts'
import type { Rootfs } from './slot-factory.ts'
import { kHostnameOfSlot, slotProfile } from './slot-profile.ts'
import { buildSpec } from './start-container.ts'

const kNobody: ResolvedUser = { uid: 0, gid: 0, additionalGids: [0], home: '/', name: null }

/** A container as far as its root file system goes. */
export interface FilesOf {
  readonly rootfs: Rootfs
  readonly imageConfig: ImageRunConfig
  readonly options: Pick<ContainerOptions, 'userns' | 'privileged'>
  /** Where its writable layer lies. */
  readonly dir: string
}

/** Prepares a child inside of a container's root file system, which nothing else may use meanwhile. Its own mounts are not made. */
export function makeFilesSlot(runtime: Runtime, { rootfs, imageConfig, options, dir }: FilesOf): Promise<Slot> {
  const { userns, privileged } = options
  const normalized = normalizeContainerOptions(['true'], { userns, privileged, network: 'none' })
  const spec = buildSpec(runtime, { options: normalized, imageConfig }, kHostnameOfSlot, kNobody)
  const id = `${runtime.store.session.id}-files-${randomBytes(4).toString('hex')}`
  const scratch = { dir, upper: join(dir, 'upper'), work: join(dir, 'work') }
  return runtime.pool.make(slotProfile(spec, rootfs, normalized, false), { id, scratch })
}
