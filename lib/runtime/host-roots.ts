// SPDX-License-Identifier: MIT
import { readdir, readFile, readlink } from 'node:fs/promises'
import { type MountEntry, parseMountinfo } from '../host/mountinfo.ts'

/** File systems that hold people's files. What the kernel makes up (proc, cgroup, tmpfs, …) is not the host's to share. */
const kRealFileSystems = new Set([
  'ext2',
  'ext3',
  'ext4',
  'xfs',
  'btrfs',
  'f2fs',
  'zfs',
  'overlay',
  'erofs',
  'squashfs',
  'vfat',
  'bcachefs',
])

/** Where containers have something of their own. */
const kOwnPlaces = /^\/(proc|sys|dev|run|tmp)(\/|$)/

/** Mount points of the host that `Image.host()` shows: `/` first, then real file systems below it, shorter paths first. */
export async function hostRoots(): Promise<string[]> {
  const entries = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'))
  return selectHostRoots(entries)
}

/** What an ordinary user's container sees of the host: see {@link readHostTree}. */
export interface HostTreeParts {
  links: [path: string, target: string][]
  readOnly: string[]
  /** Directories that get an overlay. */
  overlaid: string[]
}

/**
 * Sorts the host's root directory for a user namespace that may not overlay it whole, as there are mounts below it that it must
 * not uncover: a directory without mounts gets an overlay, one with mounts below it is shown read-only.
 */
export async function readHostTree(): Promise<HostTreeParts> {
  const [entries, mountinfo] = await Promise.all([
    readdir('/', { withFileTypes: true }),
    readFile('/proc/self/mountinfo', 'utf8'),
  ])
  const mountPoints = parseMountinfo(mountinfo).map(({ mountPoint }) => mountPoint)
  const parts: HostTreeParts = { links: [], readOnly: [], overlaid: [] }
  for (const entry of entries) {
    const path = `/${entry.name}`
    if (entry.isSymbolicLink()) parts.links.push([path, await readlink(path)])
    if (!entry.isDirectory() || kOwnPlaces.test(path)) continue
    const crowded = mountPoints.some((point) => point.startsWith(`${path}/`))
    ;(crowded ? parts.readOnly : parts.overlaid).push(path)
  }
  return parts
}

/** The pure part of {@link hostRoots}: the last mount of a place counts, and what lies below a place left out stays out. */
export function selectHostRoots(entries: readonly MountEntry[]): string[] {
  const topmost = new Map(entries.map((entry) => [entry.mountPoint, entry]))
  const below = [...topmost.values()]
    .filter(
      ({ mountPoint, fsType }) => mountPoint !== '/' && kRealFileSystems.has(fsType) && !kOwnPlaces.test(mountPoint),
    )
    .map(({ mountPoint }) => mountPoint)
    .sort()
  return ['/', ...below]
}
