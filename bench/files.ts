// SPDX-License-Identifier: MIT
import { readdir, readFile, rmdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { requireSuccess } from './command.ts'

const kCgroupRoot = '/sys/fs/cgroup'

/** Reads a text file; undefined when it cannot be read. */
export async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined)
}

/** Whether a path exists. */
export async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/**
 * Says what a file system lacks; undefined where there is room enough.
 * @param path — an existing directory in it
 */
export async function missingRoom(path: string, neededBytes: number): Promise<string | undefined> {
  const { bavail, bsize } = await statfs(path)
  const freeBytes = bavail * bsize
  if (freeBytes >= neededBytes) return undefined
  return `takes ${formatGigabytes(neededBytes)} in ${path}, where ${formatGigabytes(freeBytes)} are free`
}

/** Unmounts everything that is mounted below a directory, the latest first. */
export async function unmountBelow(directory: string): Promise<void> {
  const text = (await readIfThere('/proc/self/mountinfo')) ?? ''
  const points = text.split('\n').map((line) => unescapeOctal(line.split(' ')[4] ?? ''))
  for (const point of points.filter((path) => path.startsWith(`${directory}/`)).reverse()) {
    await requireSuccess('umount', ['--no-canonicalize', point])
  }
}

/** Lists the mount points of cgroup hierarchies in this mount namespace. */
export async function cgroupMounts(): Promise<{ path: string; version: 1 | 2 }[]> {
  const text = (await readIfThere('/proc/self/mountinfo')) ?? ''
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ')
    const path = before.split(' ')[4] ?? ''
    const type = after.split(' ')[0]
    if (!path.startsWith(kCgroupRoot) || (type !== 'cgroup' && type !== 'cgroup2')) return []
    return [{ path, version: type === 'cgroup' ? 1 : 2 }]
  })
}

/** Whether v1 controllers and a v2 hierarchy are mounted side by side. */
export async function isHybridHost(): Promise<boolean> {
  const versions = new Set((await cgroupMounts()).map((mount) => mount.version))
  return versions.size === 2
}

/** Removes an empty cgroup and the empty ones below it from every hierarchy. */
export async function removeCgroups(name: string): Promise<void> {
  for (const mount of await cgroupMounts()) await removeCgroupTree(join(mount.path, name))
}

/** Lists directories below a directory, as absolute paths, itself left out. */
export async function directoriesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => [])
  const children = entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name))
  const deeper = await Promise.all(children.map(directoriesBelow))
  return [...children, ...deeper.flat()]
}

async function removeCgroupTree(path: string): Promise<void> {
  const deepestFirst = (await directoriesBelow(path)).sort((left, right) => right.length - left.length)
  for (const directory of [...deepestFirst, path]) await rmdir(directory).catch(() => undefined)
}

function formatGigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`
}

/** @source proc_pid_mountinfo(5): blanks in a path are octal */
function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
