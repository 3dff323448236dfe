// SPDX-License-Identifier: MIT
import { createCgroupDriver } from '../cgroup/driver.ts'
import { readCgroupWorld } from '../cgroup/read-world.ts'

/**
 * Removes the cgroups of sessions whose process and launcher were both killed, and what still runs in them. Best effort: a
 * cgroup that cannot be removed now does no harm, and the next repair tries again.
 */
export async function removeDeadCgroups(sessionIds: readonly string[]): Promise<void> {
  if (sessionIds.length === 0) return
  const driver = createCgroupDriver(await readCgroupWorld(), { limits: 'best-effort' })
  const names = (await driver.list()).filter((name) => sessionIds.some((id) => name.startsWith(`${id}-`)))
  await Promise.allSettled(
    names.map(async (name) => {
      const cgroup = await driver.open(name)
      await cgroup?.killAll('SIGKILL')
      await cgroup?.remove()
    }),
  )
  if (names.length > 0) await driver.removeParents()
}
