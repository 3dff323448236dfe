// SPDX-License-Identifier: MIT
import { type CgroupWrite, planLimits } from '../cgroup/limits.ts'
import { ContainerStartError, SyscallError } from '../errors.ts'
import { isNativeError } from '../launcher/fs-native.ts'
import { buildResources, buildRuntimeSpec } from '../oci/build-spec.ts'
import { type ImageRunConfig, mergeConfig } from '../oci/merge-config.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import { overlayLayers } from '../plan/overlay-layers.ts'
import { buildStartPlan, splitAtTerminal } from '../plan/start-plan.ts'
import { type ResolvedUser, resolveUser } from '../rootfs/users.ts'
import { bindSources, bindsAhead, checkSources } from './bind-sources.ts'
import type { PlanDescriptors } from './descriptors.ts'
import type { NetworkJoin } from './network-join.ts'
import type { Runtime } from './runtime.ts'
import type { ContainerPlace, Slot } from './slot.ts'
import type { Rootfs, SlotProfile } from './slot-factory.ts'
import { kHostnameOfSlot, slotKey, slotProfile } from './slot-profile.ts'
import { setUpError, startError } from './start-error.ts'

/** A container under way. */
export interface StartedContainer {
  slot: Slot
  spec: RuntimeSpec
  /** Makes up for the slot that was taken. */
  refill: () => void
}

/** What to start. */
export interface StartRequest {
  rootfs: Rootfs
  imageConfig: ImageRunConfig
  options: NormalizedContainerOptions
  /** Adds the descriptors of standard input, output and error; -1 for none. Called once a slot is there. */
  connect: (descriptors: PlanDescriptors, owner: number | null) => readonly [number, number, number]
  descriptors: PlanDescriptors
  /** Told as soon as there is something that can be killed. */
  onSlot: (slot: Slot) => void
  /** Of a container that outlasts the call. @default a place that goes with the run */
  place?: ContainerPlace
  /** The container whose network it shares. @default none */
  join?: NetworkJoin | undefined
  /** Awaited when all is there but the program; where it rejects, nothing starts. */
  beforeProgram?: (slot: Slot, spec: RuntimeSpec) => Promise<void>
}

/**
 * Starts a container: from validated options to a running program. On failure the slot and all that belongs to it is gone.
 *
 * @throws {InvalidOptionError} before anything is touched. @throws {NotFoundError} for an unknown user.
 * @throws {UnsupportedHostError} for a limit that this host lacks, and for too many layers. @throws {ContainerStartError}
 */
export async function startContainer(runtime: Runtime, request: StartRequest): Promise<StartedContainer> {
  const { options, descriptors, rootfs } = request
  if (rootfs.kind === 'layers') overlayLayers(rootfs.layers.map(({ dir }) => dir))
  const { user, volumes } = mergeConfig(options, request.imageConfig)
  const limits = await limitWrites(runtime, options)
  checkSources(runtime.native, options.mounts)
  const needsCgroup = limits.length > 0 && options.limits === 'strict'
  const { place, join } = request
  const isPooled = place === undefined && join === undefined
  const key = slotKey(rootfs, options, needsCgroup)
  const makeProfile = (): SlotProfile => slotProfile(draftSpec(runtime, request), rootfs, options, needsCgroup)
  const slot = await takeSlot(() =>
    isPooled ? runtime.pool.take(key, makeProfile) : runtime.pool.make(makeProfile(), place, join),
  )
  let spec: RuntimeSpec
  try {
    await runtime.turns.next()
    const resolved = resolveUser(user, options.groups, slot.userFiles)
    spec = buildSpec(runtime, request, slot.hostname, resolved)
  } catch (error) {
    if (isPooled) runtime.pool.putBack(key, slot)
    else runtime.pool.discard(slot)
    throw error
  }
  request.onSlot(slot)
  try {
    if (limits.length > 0) await slot.cgroup.apply(limits)
    const stdio = request.connect(descriptors, hostUid(runtime, spec))
    const steps = buildStartPlan({
      spec,
      bindsAhead: bindsAhead(runtime),
      bindSlots: bindSources(runtime, descriptors, spec),
      cgroupViews: runtime.host.cgroupViews,
      volumes,
      stdio,
      setsGroups: runtime.host.idMapping.mode !== 'deny',
      seccomp: filterOf(runtime, spec),
    })
    const [ahead, rest] = request.beforeProgram === undefined ? [[], steps] : splitAtTerminal(steps)
    if (ahead.length > 0) await slot.child.start(ahead, descriptors.fds)
    await request.beforeProgram?.(slot, spec)
    await slot.child.start(rest, ahead.length > 0 ? [] : descriptors.fds)
    return { slot, spec, refill: () => (isPooled ? runtime.pool.refill(key) : undefined) }
  } catch (error) {
    slot.child.kill(kSigkill)
    runtime.pool.discard(slot)
    throw startError(error, spec, { failed: 'The container could not be started', where: 'image' })
  } finally {
    descriptors.close()
  }
}

const kSigkill = 9

/** Host id of the container's user; `null` where this process may not give files to it. */
export function hostUid({ host }: Runtime, spec: RuntimeSpec): number | null {
  const { uid } = spec.process.user
  if (!host.facts.rootful) return null
  const maps = spec.linux.uidMappings ?? []
  if (maps.length === 0) return uid
  const range = maps.find(({ containerID, size }) => uid >= containerID && uid < containerID + size)
  return range === undefined ? null : range.hostID + uid - range.containerID
}

/** The compiled filter of a configuration. */
export function filterOf({ seccomp, host }: Runtime, { linux }: RuntimeSpec): Uint8Array | undefined {
  return linux.seccomp === undefined ? undefined : seccomp.compile(linux.seccomp, host.facts.arch)
}

async function takeSlot(take: () => Promise<Slot>): Promise<Slot> {
  try {
    return await take()
  } catch (error) {
    if (!(error instanceof SyscallError)) throw wrapNative(error)
    throw setUpError('The container could not be prepared', error)
  }
}

const kNoIdMapHint =
  "the file system of the engine's root, or of / for Image.host(), takes no id-mapped mounts on this kernel: put the root " +
  "on ext4, xfs or btrfs, or say userns: 'host'."

/** A refusal of the addon on our own side of the launcher, in words. */
function wrapNative(error: unknown): unknown {
  if (!isNativeError(error)) return error
  // How a file system says that it takes no id map (tmpfs before Linux 6.3, NFS, FUSE, …).
  const noIdMap = error.code === 'EINVAL' && error.message.includes('mount_setattr')
  return new ContainerStartError(`The container could not be prepared: ${error.message}.`, {
    exitCode: 125,
    hint: noIdMap ? kNoIdMapHint : undefined,
    cause: error,
  })
}

async function limitWrites(runtime: Runtime, options: NormalizedContainerOptions): Promise<readonly CgroupWrite[]> {
  const { devices, ...limits } = buildResources(options, runtime.host.facts)
  // In a user namespace no device node can be made that works; elsewhere the device cgroup decides, as in Docker.
  const wanted = needsDeviceRules(runtime, options) && devices !== undefined ? { ...limits, devices } : limits
  if (Object.keys(wanted).length === 0) return []
  return planLimits(wanted, await runtime.host.driver.limitHost(), options.limits).writes
}

/** Whether this container could make device nodes that work, and the device cgroup can stop it (v1 only). */
function needsDeviceRules(runtime: Runtime, options: NormalizedContainerOptions): boolean {
  return sharesUserNamespace(runtime, options) && !options.privileged && hasDeviceCgroup(runtime)
}

function sharesUserNamespace({ host }: Runtime, options: NormalizedContainerOptions): boolean {
  return options.userns === 'host' && host.facts.rootful
}

function hasDeviceCgroup({ host }: Runtime): boolean {
  return host.world.hierarchies.some(({ controllers, writable }) => writable && controllers.includes('devices'))
}

const kNobody: ResolvedUser = { uid: 0, gid: 0, additionalGids: [0], home: '/', name: null }

/** A configuration that is right in all that the first plan reads. */
function draftSpec(runtime: Runtime, request: StartRequest): RuntimeSpec {
  return buildSpec(runtime, request, kHostnameOfSlot, kNobody)
}

/** The configuration of a container on this host. */
export function buildSpec(
  runtime: Runtime,
  request: Pick<StartRequest, 'options' | 'imageConfig' | 'join'>,
  hostname: string,
  user: ResolvedUser,
): RuntimeSpec {
  const { options, imageConfig, join } = request
  const { facts, idMapping } = runtime.host
  const shared = sharesUserNamespace(runtime, options)
  // Without device rules, a node that root makes would reach the host's devices.
  const nodes = !shared || options.privileged || hasDeviceCgroup(runtime) || asksFor(options, 'CAP_MKNOD')
  const boundingCapabilities = facts.boundingCapabilities.filter((name) => nodes || name !== 'CAP_MKNOD')
  return buildRuntimeSpec({
    options,
    imageConfig: { config: imageConfig },
    user,
    host: { ...facts, boundingCapabilities },
    rootfsPath: runtime.store.root,
    hostname: options.hostname ?? hostname,
    cgroupsPath: null,
    idMap: shared ? null : idMapping.map,
    networkPath: join === undefined ? undefined : `/proc/${join.pid}/ns/net`,
    seccomp: runtime.seccomp.choose,
  })
}

function asksFor({ capabilities }: NormalizedContainerOptions, name: string): boolean {
  return capabilities.add.includes(name) || capabilities.add.includes('ALL')
}
