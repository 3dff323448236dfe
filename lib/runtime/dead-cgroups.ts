// SPDX-License-Identifier: MIT
import { type CgroupDriver, createCgroupDriver } from '../cgroup/driver.ts'
import { readCgroupWorld } from '../cgroup/read-world.ts'

/**
 * Removes the cgroups of sessions whose process and launcher were both killed, and what still runs in them. Best effort: a
 * cgroup that cannot be removed now does no harm, and the next repair tries again.
 */
export async function removeDeadCgroups(sessionIds: readonly string[]): Promise<void> {
  if (sessionIds.length === 0) return
  const driver = createCgroupDriver(await readCgroupWorld(), { limits: 'best-effort' })
  const names = (await driver.list()).filter((name) => sessionIds.some((id) => name.startsWith(`${id}-`)))
  await Promise.allSettled(names.map((name) => removeCgroup(driver, name)))
  // Also where nothing was in them: who was killed between making them and what is in them has left them empty.
  await driver.removeParents()
}

/**
 * Removes cgroups that containers which outlast a call have left because their launcher was killed. Best effort, as above.
 *
 * @param ids - of containers that may have one; each is looked at only where it has.
 * @param ifDead - does its argument, unless the container lives or is being started.
 */
export async function removeContainerCgroups(
  ids: readonly string[],
  ifDead: (id: string, remove: () => Promise<void>) => Promise<void>,
): Promise<void> {
  if (ids.length === 0) return
  const driver = createCgroupDriver(await readCgroupWorld(), { limits: 'best-effort' })
  const left = new Set(await driver.list())
  const dead = ids.filter((id) => left.has(id))
  await Promise.allSettled(dead.map((id) => ifDead(id, () => removeCgroup(driver, id))))
  // Also where its own has gone: whoever removed it may have met others beside it, and could not remove what is above them.
  await driver.removeParents()
}

/** Removes a cgroup, where it exists, and ends what is in it. */
export async function removeCgroup(driver: CgroupDriver, name: string): Promise<void> {
  const cgroup = await driver.open(name)
  await cgroup?.killAll('SIGKILL')
  await cgroup?.remove()
}
