// SPDX-License-Identifier: MIT
import { mkdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { planLimits } from '../cgroup/limits.ts'
import { ContainerStartError, InvalidOptionError, SyscallError } from '../errors.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import { buildRuntimeSpec } from '../oci/build-spec.ts'
import { type ImageRunConfig, mergeConfig } from '../oci/merge-config.ts'
import type { RuntimeMount, RuntimeSpec } from '../oci/runtime-spec.ts'
import { parseMountWords } from '../plan/mount-words.ts'
import { type BindSource, buildStartPlan, type ExtraOverlay } from '../plan/start-plan.ts'
import { kSlot } from '../plan/slots.ts'
import { resolveUser } from '../rootfs/users.ts'
import type { PlanDescriptors } from './descriptors.ts'
import type { Rootfs, Runtime } from './runtime.ts'
import type { Slot } from './slot.ts'
import { adoptHostname, kHostnameOfSlot, slotProfile } from './slot-profile.ts'

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
  connect: (descriptors: PlanDescriptors, spec: RuntimeSpec) => readonly [number, number, number]
  descriptors: PlanDescriptors
}

/**
 * Starts a container: from validated options to a running program. On failure the slot and all that belongs to it is gone.
 *
 * @throws {InvalidOptionError} before anything is touched. @throws {NotFoundError} for an unknown user.
 * @throws {UnsupportedHostError} for a limit that this host lacks. @throws {ContainerStartError}
 */
export async function startContainer(runtime: Runtime, request: StartRequest): Promise<StartedContainer> {
  const { options } = request
  const draft = await draftSpec(runtime, request)
  const resources = draft.linux.resources ?? {}
  const wanted = { ...(resources.memory && { memory: resources.memory }), ...(resources.cpu && { cpu: resources.cpu }), ...(resources.pids && { pids: resources.pids }) }
  const hasLimits = Object.keys(wanted).length > 0
  const limits = hasLimits ? planLimits(wanted, await runtime.host.driver.limitHost(), options.limits).writes : []
  const profile = slotProfile(draft, options, hasLimits && options.limits === 'strict')
  const slot = await takeSlot(runtime, profile)
  try {
    if (limits.length > 0) await slot.cgroup.apply(limits)
    const spec = adoptHostname(draft, slot.hostname)
    const stdio = request.connect(request.descriptors, spec)
    const roots = await rootSources(runtime, request, slot, profile.hasUserNamespace)
    const binds = await bindSources(runtime, request.descriptors, spec)
    const steps = buildStartPlan({
      spec,
      ...roots,
      upper: relative(runtime.store.root, slot.scratch.upper),
      work: relative(runtime.store.root, slot.scratch.work),
      userXattr: true,
      volatile: true,
      bindSlots: binds,
      stdio,
      seccomp: runtime.seccomp.compile(spec.linux.seccomp),
    })
    await slot.child.start(steps, request.descriptors.fds)
    return { slot, spec, refill: () => runtime.pool.refill(profile) }
  } catch (error) {
    slot.child.kill(9)
    runtime.pool.discard(slot)
    throw startError(error, draft)
  } finally {
    request.descriptors.close()
  }
}

async function takeSlot(runtime: Runtime, profile: ReturnType<typeof slotProfile>): Promise<Slot> {
  try {
    return await runtime.pool.take(profile)
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error
    throw new ContainerStartError(`The container could not be prepared: ${error.message}`, { exitCode: 125, step: error.step, cause: error })
  }
}

async function draftSpec(runtime: Runtime, { rootfs, imageConfig, options }: StartRequest): Promise<RuntimeSpec> {
  const merged = mergeConfig(options, imageConfig)
  const user = resolveUser(merged.user, options.groups, await runtime.userFiles(rootfs))
  const { facts, idMapping } = runtime.host
  const needsNamespace = options.userns === 'auto' || facts.uid !== 0
  return buildRuntimeSpec({
    options,
    imageConfig: { config: imageConfig },
    user,
    host: facts,
    rootfsPath: runtime.store.root,
    hostname: options.hostname ?? kHostnameOfSlot,
    cgroupsPath: null,
    idMap: needsNamespace ? idMapping.map : null,
    seccomp: runtime.seccomp.choose,
  })
}

/** Lower layers as slots and paths, topmost first, and what goes over them. */
async function rootSources(
  runtime: Runtime,
  { rootfs, descriptors }: StartRequest,
  slot: Slot,
  idMapped: boolean,
): Promise<{ lowers: string[]; overlays: ExtraOverlay[]; hide: readonly string[] }> {
  if (rootfs.kind === 'layers') {
    const lowers = rootfs.layers.map(({ dir }) => `${kSlot.state}/${relative(runtime.store.root, dir)}`).reverse()
    return { lowers, overlays: [], hide: [] }
  }
  const [, ...others] = await runtime.hostRoots()
  const clone = (path: string): number => descriptors.own(runtime.mounts.clone(path, { idMapped }))
  const rootSlot = clone('/')
  const overlays: ExtraOverlay[] = []
  for (const [i, target] of others.entries()) {
    const names = [`upper-${i}`, `work-${i}`]
    await Promise.all(names.map((name) => mkdir(join(slot.scratch.dir, name), { mode: 0o755 })))
    const [upper = '', work = ''] = names.map((name) => relative(runtime.store.root, join(slot.scratch.dir, name)))
    overlays.push({ target, lowerSlot: clone(target), upper, work })
  }
  return { lowers: [`${rootSlot}/`], overlays, hide: [runtime.store.root, ...rootfs.hide] }
}

async function bindSources(runtime: Runtime, descriptors: PlanDescriptors, spec: RuntimeSpec): Promise<Map<string, BindSource>> {
  const binds = new Map<string, BindSource>()
  for (const mount of spec.mounts.filter(isBind)) {
    const { attr, recursive, propagation } = parseMountWords(mount.options)
    const source = mount.source ?? ''
    const directory = await isDirectory(source)
    const fd = runtime.mounts.clone(source, { idMapped: false, recursive, attr, propagation })
    binds.set(mount.destination, { slot: descriptors.own(fd), directory })
  }
  return binds
}

function isBind(mount: RuntimeMount): boolean {
  return (mount.options ?? []).some((word) => word === 'bind' || word === 'rbind')
}

async function isDirectory(source: string): Promise<boolean> {
  try {
    return (await stat(source)).isDirectory()
  } catch (error) {
    throw new InvalidOptionError('mounts', 'a source that exists', source, `create it first (${(error as Error).message}).`)
  }
}

const kNotExecutable = new Set(['EACCES', 'ENOEXEC', 'EISDIR', 'EPERM'])

function startError(error: unknown, spec: RuntimeSpec): unknown {
  if (!(error instanceof SyscallError)) return error
  if (error.step !== 'exec') {
    return new ContainerStartError(`The container could not be started: ${error.message}`, { exitCode: 125, step: error.step, cause: error })
  }
  const [program = ''] = spec.process.args
  if (error.code === 'ENOENT') return notFound(error, program, spec)
  const exitCode = kNotExecutable.has(error.code) ? 126 : 125
  const reason = { ENOEXEC: 'its format is unknown (another architecture, or a script without #!)', EISDIR: 'it is a directory', EACCES: 'permission denied' }[error.code]
  return new ContainerStartError(`Cannot run ${JSON.stringify(program)}: ${reason ?? error.message}.`, { exitCode, step: 'exec', cause: error })
}

function notFound(error: SyscallError, program: string, spec: RuntimeSpec): ContainerStartError {
  const path = spec.process.env.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? ''
  const message = error.syscall.includes('interpreter')
    ? `Cannot run ${JSON.stringify(program)}: it exists, but the interpreter or loader that it names does not.`
    : program.includes('/')
      ? `Cannot run ${JSON.stringify(program)}: there is no such file in the image.`
      : `Cannot run ${JSON.stringify(program)}: not found in PATH (${path}).`
  return new ContainerStartError(message, { exitCode: 127, step: 'exec', cause: error })
}
