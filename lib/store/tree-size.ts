// SPDX-License-Identifier: MIT
import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno } from './atomic.ts'

/**
 * Bytes that a file or directory takes on the disk, with everything in it. What goes meanwhile, or may not be read, counts nothing.
 * A file with several names counts once.
 */
export async function treeBytes(path: string, seen: Set<string> = new Set()): Promise<number> {
  try {
    const stats = await lstat(path)
    if (stats.nlink > 1 && !stats.isDirectory()) {
      const key = `${stats.dev}.${stats.ino}`
      if (seen.has(key)) return 0
      seen.add(key)
    }
    let bytes = stats.blocks * 512
    if (!stats.isDirectory()) return bytes
    for await (const entry of await opendir(path)) bytes += await treeBytes(join(path, entry.name), seen)
    return bytes
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'ENAMETOOLONG')) return 0
    throw error
  }
}
