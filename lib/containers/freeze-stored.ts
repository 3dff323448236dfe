// SPDX-License-Identifier: MIT
import { ContainerStateError, NotFoundError, UnsupportedHostError } from '../errors.ts'
import { processStatus } from '../host/process-status.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { isErrno } from '../store/atomic.ts'
import type { ContainerStore } from './container-store.ts'
import { isLive } from './end-stored.ts'

/**
 * Stops all processes of a container where they are, or lets them go on.
 *
 * @throws {ContainerStateError} @throws {NotFoundError} @throws {UnsupportedHostError} without a freezer
 */
export async function freezeStored(
  containers: ContainerStore,
  runtime: Runtime,
  id: string,
  operation: 'pause' | 'resume',
): Promise<void> {
  await using _lock = await containers.lock(id)
  const stored = await containers.read(id)
  const { state } = stored
  const [from, to] = operation === 'pause' ? (['running', 'paused'] as const) : (['paused', 'running'] as const)
  if (state.status !== from) throw new ContainerStateError(`container ${state.name}`, state.status, operation, [from])
  try {
    // Whoever is killed in between leaves one that is called paused and runs, which does no harm; what is frozen and is called
    // running would not end by any signal.
    if (operation === 'pause') await containers.write(id, { ...state, status: to })
    await setFrozen(runtime, id, state.name, operation === 'pause')
    if (operation === 'resume') await containers.write(id, { ...state, status: to })
    await containers.tell(stored, operation === 'pause' ? 'pause' : 'unpause')
  } catch (error) {
    if (await hasEnded(containers, id)) {
      throw new ContainerStateError(`container ${state.name}`, 'exited', operation, [from])
    }
    await containers.write(id, state)
    throw error
  }
}

/** Whether its process has ended, be it that nobody has written that down yet. */
async function hasEnded(containers: ContainerStore, id: string): Promise<boolean> {
  const now = await containers.read(id)
  return !isLive(now) || now.state.pid === null || (await processStatus(now.state.pid))?.isZombie !== false
}

async function setFrozen(runtime: Runtime, id: string, name: string, frozen: boolean): Promise<void> {
  const cgroup = await runtime.host.driver.open(id)
  if (cgroup === undefined) {
    const probe = `container ${name} has no cgroup`
    throw new UnsupportedHostError('the freezer', probe, 'mount the cgroup file systems')
  }
  if (frozen) await cgroup.freeze()
  else await cgroup.thaw()
}

/** Lets a container go on that is paused, whoever asks; any other one is left alone. */
export async function resumeIfPaused(containers: ContainerStore, runtime: Runtime, id: string): Promise<void> {
  try {
    await freezeStored(containers, runtime, id, 'resume')
  } catch (error) {
    // It has ended, and its cgroup has gone; or somebody else was first.
    const harmless = [ContainerStateError, NotFoundError, UnsupportedHostError]
    if (!harmless.some((kind) => error instanceof kind)) throw error
  }
}

/** Lets the processes of a container go on that has been killed, so that they can die. The state is the caller's. */
export async function thaw(runtime: Runtime, id: string): Promise<void> {
  try {
    await (await runtime.host.driver.open(id))?.thaw()
  } catch (error) {
    // Its cgroup goes as soon as it has died.
    if (!(error instanceof UnsupportedHostError || isErrno(error, 'ENOENT', 'ENODEV'))) throw error
  }
}
