// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { ImageRunConfig } from '../oci/merge-config.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import type { NormalizedContainerOptions, NormalizedVolume } from '../options/container-options.ts'
import { normalizeContainerOptions } from '../options/normalize-container-options.ts'
import { buildServeStoppedPlan } from '../plan/serve-plan.ts'
import type { ResolvedUser } from '../rootfs/users.ts'
import { bindSources } from './bind-sources.ts'
import { PlanDescriptors } from './descriptors.ts'
import type { Runtime } from './runtime.ts'
import type { Slot } from './slot.ts'
import type { Rootfs } from './slot-factory.ts'
import { kHostnameOfSlot, slotKey, slotProfile } from './slot-profile.ts'
import { buildSpec } from './start-container.ts'

const kSigkill = 9
const kNobody: ResolvedUser = { uid: 0, gid: 0, additionalGids: [0], home: '/', name: null }

/** A container as far as its root file system goes. */
export interface FilesOf {
  readonly rootfs: Rootfs
  readonly imageConfig: ImageRunConfig
  readonly options: Pick<NormalizedContainerOptions, 'userns' | 'privileged'>
  /** Mounted in it; other mounts are not made. */
  readonly volumes: readonly NormalizedVolume[]
  /** Where its writable layer lies, which nothing else may use meanwhile. @default a new one that is thrown away */
  readonly dir?: string | undefined
  /** Whether the root file system stays as it is; volumes are not concerned. */
  readonly readOnly: boolean
}

/** Starts a process that serves the files of a container that does not run. Its socket is the caller's to close. */
export async function serveStopped(runtime: Runtime, files: FilesOf): Promise<{ slot: Slot; socket: number }> {
  const { native, pool } = runtime
  const { slot, spec } = await prepareSlot(runtime, files)
  const descriptors = new PlanDescriptors(native)
  let ours: number | undefined
  try {
    const pair = native.fileSocket()
    ours = pair[0]
    descriptors.own(pair[1])
    const binds = bindSources(runtime, descriptors, spec)
    await slot.child.start(buildServeStoppedPlan(spec, binds, files.readOnly), descriptors.fds)
    return { slot, socket: ours }
  } catch (error) {
    if (ours !== undefined) native.close(ours)
    slot.child.kill(kSigkill)
    pool.discard(slot)
    throw error
  } finally {
    descriptors.close()
  }
}

/** Prepares a child inside of a container's root file system. */
async function prepareSlot(runtime: Runtime, files: FilesOf): Promise<{ slot: Slot; spec: RuntimeSpec }> {
  const { rootfs, imageConfig, options, volumes, dir } = files
  const { userns, privileged } = options
  const plain = normalizeContainerOptions(['true'], { userns, privileged, network: 'none' })
  const normalized = { ...plain, mounts: volumes }
  const spec = buildSpec(runtime, { options: normalized, imageConfig }, kHostnameOfSlot, kNobody)
  const makeProfile = () => slotProfile(spec, rootfs, normalized, false)
  if (dir === undefined) return { slot: await runtime.pool.take(slotKey(rootfs, normalized, false), makeProfile), spec }
  const id = `${runtime.store.session.id}-files-${randomBytes(4).toString('hex')}`
  const scratch = { dir, upper: join(dir, 'upper'), work: join(dir, 'work') }
  return { slot: await runtime.pool.make(makeProfile(), { id, scratch }), spec }
}
