// SPDX-License-Identifier: MIT
import { access, constants } from 'node:fs/promises'
import { readTextFile } from '../host/facts.ts'
import { parseMountinfo } from '../host/mountinfo.ts'
import { type CgroupWorld, detectCgroupWorld } from './detect.ts'

/** Looks at this host's cgroup mounts, once. Nothing is changed. */
export async function readCgroupWorld(): Promise<CgroupWorld> {
  const [mountinfo, selfCgroup] = await Promise.all(['/proc/self/mountinfo', '/proc/self/cgroup'].map(readTextFile))
  const mounts = parseMountinfo(mountinfo ?? '').filter(({ fsType }) => fsType === 'cgroup' || fsType === 'cgroup2')
  const unified = mounts.find(({ fsType }) => fsType === 'cgroup2')
  const [controllersText, ...writable] = await Promise.all([
    unified === undefined ? undefined : readTextFile(`${unified.mountPoint}/cgroup.controllers`),
    ...mounts.map(async ({ mountPoint }) => ((await isWritable(mountPoint)) ? mountPoint : undefined)),
  ])
  return detectCgroupWorld({
    mounts,
    selfCgroup: selfCgroup ?? '',
    controllersText,
    writableDirs: new Set(writable.filter((dir) => dir !== undefined)),
  })
}

/** Whether this process may make directories in `dir`, by its permissions and those of the mount. */
export async function isWritable(dir: string): Promise<boolean> {
  try {
    await access(dir, constants.W_OK)
    return true
  } catch {
    return false
  }
}
