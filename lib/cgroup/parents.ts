// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import { access, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf, ensureDir, fileError, readCgroupFile, tryWrite, writeCgroupFile } from './cgroup-fs.ts'
import type { CgroupHierarchy } from './detect.ts'
import { type Cpuset, inheritCpuset } from './limits-v1.ts'

/** Controllers that containers' limits and statistics use; others are not passed on, as each makes every cgroup dearer. */
const kWantedV2: readonly string[] = ['cpu', 'cpuset', 'io', 'memory', 'pids', 'hugetlb']

/**
 * Makes the directory that holds the containers' cgroups on a v1 hierarchy.
 *
 * @returns whether a cpuset made in it has CPUs and memory nodes from the start; `true` where that needs nothing
 */
export async function prepareParentV1(base: string, parent: string, isCpuset: boolean): Promise<boolean> {
  try {
    await ensureDir(parent)
    if (!isCpuset) return true
    await fillCpuset(parent, base)
    // The kernel then copies both lists when it makes a directory: one system call instead of five.
    return await tryWrite(`${parent}/cgroup.clone_children`, '1')
  } catch (error) {
    throw fileError(`Making the cgroup ${parent}`, error)
  }
}

/** Gives an empty v1 cpuset the CPUs and memory nodes of another. */
export async function fillCpuset(dir: string, from: string): Promise<void> {
  const [own, above] = await Promise.all([readCpuset(dir), readCpuset(from)])
  for (const write of inheritCpuset(own, above)) await writeCgroupFile(`${dir}/${write.file}`, write.value)
}

async function readCpuset(dir: string): Promise<Cpuset> {
  const [cpus, mems] = await Promise.all(
    ['cpuset.cpus', 'cpuset.mems'].map((file) => readFile(`${dir}/${file}`, 'utf8')),
  )
  return { cpus: cpus ?? '', mems: mems ?? '' }
}

/** What {@link prepareParentV2} achieved. */
export interface ParentV2 {
  /** Controllers that a cgroup in the parent directory has. */
  controllers: readonly string[]
  /** What was looked at and what it said, for messages. */
  probe: string
}

/**
 * Makes the directory that holds the containers' cgroups on v2, and passes controllers down to it and through it. No process
 * may ever be in it. A controller that is refused is not an error: whoever needs it gets one, with `probe` in it.
 */
export async function prepareParentV2(base: string, parent: string): Promise<ParentV2> {
  const refusals = await passOn(base)
  try {
    await ensureDir(parent)
  } catch (error) {
    throw fileError(`Making the cgroup ${parent}`, error)
  }
  refusals.push(...(await passOn(parent)))
  const [offered, passed] = await Promise.all([
    readWords(`${base}/cgroup.controllers`),
    readWords(`${parent}/cgroup.subtree_control`),
  ])
  const probe = [`${base}/cgroup.controllers says '${offered.join(' ')}'`, ...refusals].join('; ')
  return { controllers: passed, probe }
}

/** Enables what can be enabled for the directories in `dir`; answers with what was refused, in words. */
async function passOn(dir: string): Promise<string[]> {
  const path = `${dir}/cgroup.subtree_control`
  const [offered, passed] = await Promise.all([readWords(`${dir}/cgroup.controllers`), readWords(path)])
  const wanted = kWantedV2.filter((name) => offered.includes(name) && !passed.includes(name))
  if (wanted.length === 0 || (await tryWrite(path, wanted.map((name) => `+${name}`).join(' ')))) return []
  // All or nothing: one that is refused (cpu, when there are real-time processes) must not take the others along.
  const refusals: string[] = []
  for (const name of wanted) {
    try {
      await writeCgroupFile(path, `+${name}`)
    } catch (error) {
      refusals.push(`writing +${name} to ${path} failed with ${codeOf(error)}${reasonOf(codeOf(error))}`)
    }
  }
  return refusals
}

function reasonOf(code: string | undefined): string {
  return code === 'EBUSY' ? ' (a cgroup that holds processes cannot pass controllers on)' : ''
}

async function readWords(path: string): Promise<string[]> {
  return ((await readCgroupFile(path)) ?? '').trim().split(/\s+/).filter(Boolean)
}

/**
 * Finds the directory of a v2 hierarchy in which this process may make cgroups and move processes into them: the root of the
 * mount, else the highest directory above our own cgroup that was handed over to us.
 */
export async function findBaseV2(hierarchy: CgroupHierarchy): Promise<string | undefined> {
  if (hierarchy.writable) return hierarchy.mountPoint
  let found: string | undefined
  let dir = hierarchy.ownDir
  while (dir?.startsWith(`${hierarchy.mountPoint}/`) === true) {
    if (await isDelegated(dir)) found = dir
    dir = dirname(dir)
  }
  return found
}

/** Joining a cgroup needs write access to cgroup.procs of the directory that is above both the old and the new place. */
async function isDelegated(dir: string): Promise<boolean> {
  const paths = [dir, `${dir}/cgroup.procs`, `${dir}/cgroup.subtree_control`]
  const results = await Promise.allSettled(paths.map((path) => access(path, constants.W_OK)))
  return results.every(({ status }) => status === 'fulfilled')
}
