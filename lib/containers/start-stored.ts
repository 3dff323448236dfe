// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cgroup } from '../cgroup/driver.ts'
import { ContainerStartError, ContainerStateError } from '../errors.ts'
import { processStatus } from '../host/process-status.ts'
import { PortRelays } from '../net/port-relay.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import type { PublishedPort } from '../options/port-options.ts'
import { removeCgroup } from '../runtime/dead-cgroups.ts'
import { PlanDescriptors } from '../runtime/descriptors.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Slot } from '../runtime/slot.ts'
import type { Rootfs } from '../runtime/slot-factory.ts'
import { startContainer } from '../runtime/start-container.ts'
import { readBootId } from '../store/container-state.ts'
import { holdVolumes } from '../volumes/container-volumes.ts'
import type { ContainerStore, StoredContainer } from './container-store.ts'
import { findNetwork } from './network-join.ts'
import { reachOf } from './own-namespaces.ts'
import type { ContainerRecord, ContainerState } from './record.ts'
import { optionsOf } from './recorded-options.ts'
import { superviseChild } from './supervise.ts'
import { SupervisedStreams } from './supervised-streams.ts'

/** What else must be there before the program runs. The container is as it will be then. */
export type BeforeProgram = (stored: StoredContainer) => Promise<void>

const kStartable = ['created', 'exited', 'restarting'] as const

/**
 * Starts a container that is created or has exited; it has the writable layer that it had. When it fails, the container is as it
 * was, with the reason noted.
 *
 * @param beforeProgram - awaited when all is there but the program; where it rejects, nothing starts.
 * @returns the ports that the host has of it.
 * @throws {ContainerStateError} when it runs. @throws {NotFoundError} when it is gone. @throws what a run throws.
 */
export async function startStored(
  containers: ContainerStore,
  runtime: Runtime,
  id: string,
  beforeProgram?: BeforeProgram,
): Promise<readonly PublishedPort[]> {
  await using _lock = await containers.lock(id)
  const stored = await containers.settleEndLocked(id)
  const { restart } = stored.state
  // Who starts it by hand begins to count anew.
  const fresh = restart && { ...restart, count: 0, delayMs: 0, dueMs: null, stoppedIn: null }
  return await startLocked(containers, runtime, withRestart(stored, fresh), beforeProgram)
}

/**
 * Starts a container again by its policy, unless somebody has started, stopped or removed it since.
 *
 * @param dueMs - of the restart that is meant
 */
export async function restartStored(
  containers: ContainerStore,
  runtime: Runtime,
  id: string,
  dueMs: number | null,
): Promise<void> {
  await using _lock = await containers.lock(id)
  const stored = await containers.settleEndLocked(id)
  const { status, restart } = stored.state
  if (status !== 'restarting' || restart?.dueMs !== dueMs) return
  await startLocked(containers, runtime, withRestart(stored, { ...restart, dueMs: null }))
}

function withRestart(stored: StoredContainer, restart: ContainerState['restart']): StoredContainer {
  return restart === undefined ? stored : { ...stored, state: { ...stored.state, restart } }
}

async function startLocked(
  containers: ContainerStore,
  runtime: Runtime,
  stored: StoredContainer,
  beforeProgram: BeforeProgram = async () => undefined,
): Promise<readonly PublishedPort[]> {
  const { state, record } = stored
  const { id } = record
  if (!kStartable.some((status) => status === state.status)) {
    throw new ContainerStateError(`container ${state.name}`, state.status, 'start', kStartable)
  }
  // What the record of the last end says must be in the state before that record goes.
  if (stored.lastExit !== undefined) await containers.write(id, state)
  await removeCgroup(runtime.host.driver, id)
  // The launcher's word is all that we wait for: nothing else keeps the event loop going.
  runtime.launcher.hold()
  const tried: Slot[] = []
  let relays: PortRelays | undefined
  try {
    await runtime.relays.get(id)?.close()
    relays = await PortRelays.bind(optionsOf(record).ports)
    let running = stored
    const onSlot = (made: Slot): unknown => tried.push(made)
    const slot = await startProgram(containers, runtime, stored, relays.published, onSlot, async (now) => {
      running = now
      await beforeProgram(now)
    })
    // Its program runs: nothing that could fail may come from here on.
    watchEnd(containers, runtime, slot, stored, relays)
    const container = reachOf(runtime.host, running)
    if (container !== undefined) relays.serve({ parts: runtime, container })
    await containers.tell(stored, 'start')
    return relays.published
  } catch (error) {
    // The end of what did not start is no end of the container.
    await relays?.close()
    for (const { child } of tried) await child.exited
    await noteFailure(containers, stored, error)
    throw error
  } finally {
    runtime.launcher.unhold()
  }
}

async function startProgram(
  containers: ContainerStore,
  runtime: Runtime,
  stored: StoredContainer,
  ports: readonly PublishedPort[],
  onSlot: (slot: Slot) => void,
  beforeProgram: BeforeProgram,
): Promise<Slot> {
  const { record, state } = stored
  const dir = containers.directory(record.id)
  const streams = new SupervisedStreams(runtime, record)
  const rootfs = rootfsOf(runtime, record)
  const { imageConfig, volumes = [] } = record
  const options = optionsOf(record)
  await using held = await holdVolumes(containers.volumes, async () => runtime, {
    rootfs,
    imageConfig,
    options,
    volumes,
  })
  try {
    const { slot } = await startContainer(runtime, {
      rootfs,
      imageConfig,
      options: held.in(options),
      connect: (descriptors, owner) => streams.connect(descriptors, owner),
      descriptors: new PlanDescriptors(runtime.native),
      onSlot,
      join: await findNetwork(containers, runtime, options),
      place: { id: record.id, scratch: { dir, upper: join(dir, 'upper'), work: join(dir, 'work') } },
      beforeProgram: async (made) => {
        // Before the program runs: whoever is killed from here on leaves a state that tells what there is to look after.
        await containers.clearExit(record.id)
        const now = await runningState(state, made.child.pid, ownerOf(runtime, record))
        const running = ports.length === 0 ? now : { ...now, ports }
        await containers.write(record.id, running)
        await handOver(runtime, record, dir, made, streams)
        await beforeProgram({ record, state: running, lastExit: undefined })
      },
    })
    return slot
  } finally {
    streams.close()
  }
}

async function handOver(
  runtime: Runtime,
  { detached, stdin, logs }: ContainerRecord,
  dir: string,
  { child, cgroup }: Slot,
  streams: SupervisedStreams,
): Promise<void> {
  const { hasTerminal, fds } = streams.takeOver(child)
  await using directory: FileHandle = await open(dir, constants.O_RDONLY | constants.O_DIRECTORY)
  await superviseChild(
    runtime,
    {
      pid: child.pid,
      detached,
      hasStdout: true,
      hasStderr: !hasTerminal,
      hasTerminal,
      stdin,
      maxLogBytes: logs.maxBytes,
      maxLogFiles: logs.maxFiles,
      cgroups: cgroup.dirs,
      oomFiles: oomFiles(cgroup, runtime.host.world.version === 'v2'),
    },
    [directory.fd, ...fds],
  )
}

/** The file that counts the container's processes killed for want of memory; none where there is no such cgroup. */
function oomFiles(cgroup: Cgroup, isUnified: boolean): string[] {
  try {
    const file = isUnified ? 'memory.events' : 'memory.oom_control'
    return [cgroup.pathOf({ controller: 'memory', file, value: '' })]
  } catch {
    return []
  }
}

/** A detached container has the root's attendant; any other one, us. */
function ownerOf({ store }: Runtime, { detached }: ContainerRecord): string | null {
  return detached ? null : store.session.id
}

async function runningState(state: ContainerState, pid: number, owner: string | null): Promise<ContainerState> {
  const status = await processStatus(pid)
  return {
    ...state,
    status: 'running',
    pid,
    startTimeTicks: status?.startTimeTicks ?? null,
    bootId: await readBootId(),
    startedAt: new Date().toISOString(),
    finishedAt: null,
    exitCode: null,
    killSignal: null,
    oomKilled: false,
    error: null,
    owner,
  }
}

async function noteFailure(
  containers: ContainerStore,
  { record, state }: StoredContainer,
  error: unknown,
): Promise<void> {
  const exitCode = error instanceof ContainerStartError ? error.exitCode : state.exitCode
  const message = error instanceof Error ? error.message : String(error)
  try {
    await containers.clearExit(record.id)
    const status = state.status === 'restarting' ? 'exited' : state.status
    await containers.write(record.id, { ...state, status, exitCode, error: message })
  } catch {
    // The reason why it did not start says more; a state that says 'running' is seen through by its process.
  }
}

/** Keeps this process alive while an attached container runs, as a child process would; and removes what is to be removed. */
function watchEnd(
  containers: ContainerStore,
  runtime: Runtime,
  { child }: Slot,
  { record, state }: StoredContainer,
  relays: PortRelays,
): void {
  const { id, detached } = record
  const { launcher } = runtime
  if (relays.published.length > 0) runtime.relays.set(id, relays)
  if (!detached) launcher.hold()
  void child.exited.then(() => {
    if (!detached) launcher.unhold()
    child.release()
    if (relays.published.length > 0) containers.inBackground(relays.close())
    if (runtime.relays.get(id) === relays) runtime.relays.delete(id)
    const told = containers.settleEnd(id)
    containers.inBackground(state.autoRemove ? told.then(() => containers.removeEnded(id)) : told)
  })
}

/** Where a container's files come from. */
export function rootfsOf({ store }: Runtime, { rootfs }: ContainerRecord): Rootfs {
  if (rootfs.kind === 'host') return rootfs
  const diffIds = rootfs.diffIds.filter((text): text is Digest => isDigest(text))
  return { kind: 'layers', layers: diffIds.map((diffId) => ({ dir: store.layers.path(diffId) })) }
}
