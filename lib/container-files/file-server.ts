// SPDX-License-Identifier: MIT
import type { ContainerStore, StoredContainer } from '../containers/container-store.ts'
import { isLive } from '../containers/end-stored.ts'
import { openFirstProcess } from '../containers/first-process.ts'
import { hasUserNamespace } from '../containers/own-namespaces.ts'
import { optionsOf } from '../containers/recorded-options.ts'
import { rootfsOf } from '../containers/start-stored.ts'
import { ContainerStateError } from '../errors.ts'
import { processStatus } from '../host/process-status.ts'
import type { LauncherChild } from '../launcher/launcher-child.ts'
import { buildServeIdsPlan, buildServePlan } from '../plan/serve-plan.ts'
import { PlanDescriptors } from '../runtime/descriptors.ts'
import { serveStopped } from '../runtime/files-slot.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { whenThereIsRoom } from '../runtime/when-there-is-room.ts'
import { holdVolumes } from '../volumes/container-volumes.ts'

/** A process that serves the files of one container. */
export interface FileServer {
  /** For {@link FileThreads}. */
  readonly socket: number
  /** Makes the work fail at once. */
  kill(): void
  /** Ends the process and waits for it; then the container is as free as before. */
  close(): Promise<void>
}

export interface FileServerParts {
  readonly containers: ContainerStore
  readonly runtime: Runtime
}

export interface FileServerOptions {
  /** Whether files are changed. */
  readonly write: boolean
  readonly signal?: AbortSignal | undefined
}

const kSigkill = 9

/**
 * Starts a process that serves the files of a container. A running one is entered: it shows its mounts too. For one that does not run
 * its root file system is mounted, in a namespace of that process, and the container can neither be started nor removed meanwhile.
 *
 * @throws {NotFoundError} @throws {ContainerStateError} when it ends just now.
 */
export async function openFileServer(
  parts: FileServerParts,
  id: string,
  options: FileServerOptions,
): Promise<FileServer> {
  const { launcher } = parts.runtime
  // The launcher's word is all that we wait for: nothing else keeps the event loop going.
  launcher.hold()
  let server: FileServer
  try {
    server = await open(parts, id, options)
  } catch (error) {
    launcher.unhold()
    throw error
  }
  return {
    ...server,
    async close() {
      try {
        await server.close()
      } finally {
        launcher.unhold()
      }
    },
  }
}

async function open(parts: FileServerParts, id: string, options: FileServerOptions): Promise<FileServer> {
  for (;;) {
    const stored = await parts.containers.read(id)
    if (isLive(stored)) {
      const server = await enter(parts, stored)
      if (server !== undefined) return server
      continue
    }
    const server = await mount(parts, id, options)
    if (server !== undefined) return server
  }
}

/** @returns `undefined` when it has ended. */
async function enter({ runtime }: FileServerParts, stored: StoredContainer): Promise<FileServer | undefined> {
  const { native, launcher, host } = runtime
  const { record, state } = stored
  const pidfd = await openFirstProcess(native, state)
  if (pidfd === undefined) return undefined
  const descriptors = new PlanDescriptors(native, 0)
  let ours: number | undefined
  try {
    const pidfdSlot = descriptors.own(pidfd)
    const pair = native.fileSocket()
    ours = pair[0]
    const plan = buildServePlan({
      pidfdSlot,
      socketSlot: descriptors.own(pair[1]),
      hasUserNamespace: hasUserNamespace(host, record),
      setsGroups: host.idMapping.mode !== 'deny',
    })
    const child = await whenThereIsRoom(() => launcher.clone(plan, descriptors.fds))
    // With the container its files may be started anew: nobody else may be at them then.
    const watch = new native.Watch(native.duplicate(pidfd), () => child.kill(kSigkill))
    watch.unref()
    try {
      await child.prepared
    } catch (error) {
      watch.close()
      if ((await processStatus(state.pid ?? 0)) === undefined) throw endedError(state.name)
      throw error
    }
    return serverOf(runtime, child, ours, async () => watch.close())
  } catch (error) {
    if (ours !== undefined) native.close(ours)
    throw error
  } finally {
    descriptors.close()
  }
}

/** @returns `undefined` when it has been started meanwhile. */
async function mount(
  { containers, runtime }: FileServerParts,
  id: string,
  { write, signal }: FileServerOptions,
): Promise<FileServer | undefined> {
  const lock = await containers.lock(id, { signal })
  try {
    const stored = await containers.read(id)
    if (isLive(stored)) {
      await lock.release()
      return undefined
    }
    const { record } = stored
    // Nothing of it is run, so that it need not name a command.
    const options = { ...optionsOf(record), command: ['true'] }
    const user = { rootfs: rootfsOf(runtime, record), imageConfig: record.imageConfig, options }
    await using held = await holdVolumes(
      containers.volumes,
      async () => runtime,
      { ...user, volumes: record.volumes ?? [] },
      signal,
    )
    const { slot, socket } = await serveStopped(runtime, {
      ...user,
      volumes: held.mounts,
      dir: containers.directory(id),
      readOnly: options.readOnly || !write,
    })
    return serverOf(runtime, slot.child, socket, async () => {
      runtime.pool.discard(slot)
      await lock.release()
    })
  } catch (error) {
    await lock.release()
    throw error
  }
}

function serverOf({ native }: Runtime, child: LauncherChild, socket: number, after: () => Promise<void>): FileServer {
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    native.close(socket)
    // Nothing that it does may go on: its mounts go with it.
    child.kill(kSigkill)
    await child.exited
    child.release()
    await after()
  }
  return {
    socket,
    kill: () => child.kill(kSigkill),
    close() {
      closing ??= close()
      return closing
    },
  }
}

/**
 * Starts a process that serves files of the host by descriptors, with the ids of containers: for an ordinary user, to whom much of what
 * containers write is closed.
 */
export async function openIdServer(runtime: Runtime): Promise<FileServer> {
  const { native, launcher, host } = runtime
  const { map, mode } = host.idMapping
  const { uids, gids } = 'uids' in map ? map : { uids: map, gids: map }
  const descriptors = new PlanDescriptors(native, 0)
  const [ours, theirs] = native.fileSocket()
  launcher.hold()
  try {
    const socketSlot = descriptors.own(theirs)
    const plan = buildServeIdsPlan({ uids, gids, mapMode: mode, socketSlot })
    const child = await whenThereIsRoom(() => launcher.clone(plan, descriptors.fds))
    await child.prepared
    return serverOf(runtime, child, ours, async () => launcher.unhold())
  } catch (error) {
    native.close(ours)
    launcher.unhold()
    throw error
  } finally {
    descriptors.close()
  }
}

function endedError(name: string): ContainerStateError {
  return new ContainerStateError(`container ${name}`, 'exited', 'work on the files of', [
    'created',
    'running',
    'exited',
  ])
}
