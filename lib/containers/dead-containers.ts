// SPDX-License-Identifier: MIT
import { removeContainerCgroups } from '../runtime/dead-cgroups.ts'
import type { RepairReport } from '../store/repair.ts'
import type { ContainerStore } from './container-store.ts'
import { isActive } from './resolve-state.ts'

/**
 * Takes away what containers have left whose owner or launcher was killed: cgroups, and those that were to be removed once they had
 * ended. What somebody holds is left to them.
 */
export async function clearDeadContainers(containers: ContainerStore, report: RepairReport): Promise<void> {
  const { deadSessions, exitedContainers, idleContainers } = report
  // Where nobody was killed, all cgroups are those of living containers.
  if (deadSessions.length > 0 || exitedContainers.length > 0) {
    const ids = idleContainers.map(({ id }) => id)
    await removeContainerCgroups(ids, async (id, remove) => {
      await using _lock = await containers.lock(id, { timeoutMs: 0 })
      if (!isActive((await containers.read(id)).state)) await remove()
    })
  }
  for (const { id, isOver } of idleContainers) if (isOver) containers.inBackground(containers.removeEnded(id))
}
