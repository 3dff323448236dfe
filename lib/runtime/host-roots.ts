// SPDX-License-Identifier: MIT
import { readFile } from 'node:fs/promises'
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
