// SPDX-License-Identifier: MIT
import { ContainerStateError, UnsupportedHostError } from '../errors.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { ContainerStore } from './container-store.ts'

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
  const { state } = await containers.read(id)
  const [from, to] = operation === 'pause' ? (['running', 'paused'] as const) : (['paused', 'running'] as const)
  if (state.status !== from) throw new ContainerStateError(`container ${state.name}`, state.status, operation, [from])
  const cgroup = await runtime.host.driver.open(id)
  if (cgroup === undefined) {
    throw new UnsupportedHostError(
      'the freezer',
      `container ${state.name} has no cgroup`,
      'mount the cgroup file systems',
    )
  }
  if (operation === 'pause') await cgroup.freeze()
  else await cgroup.thaw()
  await containers.write(id, { ...state, status: to })
}

/** Lets the processes of a container go on, where it has a cgroup. The state is the caller's. */
export async function thaw(runtime: Runtime, id: string): Promise<void> {
  await (await runtime.host.driver.open(id))?.thaw()
}
