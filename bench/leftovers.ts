// SPDX-License-Identifier: MIT
import { readdir, readlink } from 'node:fs/promises'
import { cgroupMounts, directoriesBelow, readIfThere } from './files.ts'
import type { LeftoverCounts } from './job.ts'

/** What is on the host at one moment: counts, and the names behind those that can be named. */
export interface HostSnapshot {
  counts: LeftoverCounts
  names: Set<string>
}

/**
 * Looks at everything a container engine can forget: processes, descriptors, mounts, cgroups, directories, namespaces.
 * Cgroups and mounts are those of the whole host, so other programs' comings and goings are in the counts.
 * @param directory — where the subject keeps its state
 */
export async function takeSnapshot(directory: string): Promise<HostSnapshot> {
  const helpers = await descendantPids()
  const mounts = ((await readIfThere('/proc/self/mountinfo')) ?? '').trim().split('\n').map(mountName)
  const cgroups = (await Promise.all((await cgroupMounts()).map(({ path }) => directoriesBelow(path)))).flat()
  const directories = await directoriesBelow(directory)
  const namespaces = new Set((await Promise.all([process.pid, ...helpers].map(namespacesOf))).flat())
  const helperSizes = await Promise.all(helpers.map(residentBytesOf))
  const helperFds = await Promise.all(helpers.map(countFds))
  return {
    counts: {
      residentBytes: process.memoryUsage.rss(),
      helperResidentBytes: sum(helperSizes),
      descendants: helpers.length,
      fds: await countFds(process.pid),
      helperFds: sum(helperFds),
      mounts: mounts.length,
      cgroups: cgroups.length,
      directories: directories.length,
      namespaces: namespaces.size,
    },
    names: new Set([...mounts, ...cgroups, ...directories]),
  }
}

/** Lists children of this process, and theirs, from /proc: the short-lived included. */
export async function descendantPids(): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger)
  const parents = new Map(await Promise.all(pids.map(async (pid) => [pid, await parentOf(pid)] as const)))
  const isDescendant = (pid: number): boolean => {
    const parent = parents.get(pid)
    return parent !== undefined && parent !== 0 && (parent === process.pid || isDescendant(parent))
  }
  return pids.filter(isDescendant)
}

async function parentOf(pid: number): Promise<number | undefined> {
  const text = await readIfThere(`/proc/${pid}/stat`)
  // The name in parentheses may hold spaces and parentheses of its own: count from its end.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  return fields === undefined ? undefined : Number(fields[1])
}

async function namespacesOf(pid: number): Promise<string[]> {
  const names = await readdir(`/proc/${pid}/ns`).catch(() => [])
  const links = names.map((name) => readlink(`/proc/${pid}/ns/${name}`).catch(() => undefined))
  return (await Promise.all(links)).filter((link) => link !== undefined)
}

async function residentBytesOf(pid: number): Promise<number> {
  const text = (await readIfThere(`/proc/${pid}/status`)) ?? ''
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024
}

async function countFds(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`).catch(() => [])).length
}

function mountName(line: string): string {
  return `mount ${line.split(' ')[4] ?? ''}`
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
