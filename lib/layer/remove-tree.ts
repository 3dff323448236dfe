// SPDX-License-Identifier: MIT
import { type FsNative, isNativeError, type NativePath } from '../launcher/fs-native.ts'
import { openOwnDirectory } from './own-directory.ts'

/** Open directories at one time; deeper ones are moved up first. */
const kMaxDepth = 32

/**
 * Removes `name` in the directory `parentFd` and everything beneath it. Symbolic links are removed, never followed;
 * names need not be UTF-8; the tree may be deeper than PATH_MAX. Blocks the thread.
 *
 * Does nothing when `name` does not exist. On failure what could not be removed stays.
 *
 * @throws {NativeError} for example EACCES or EBUSY (a mount point).
 */
export function removeTree(native: FsNative, parentFd: number, name: NativePath): void {
  const { AT_REMOVEDIR } = native.fsConstants
  if (unlinkUnlessDirectory(native, parentFd, name)) return
  const rootFd = openDirectory(native, parentFd, name)
  if (rootFd === undefined) return
  try {
    const moved = { count: 0, prefix: `.wherry-removing-${process.pid}-` }
    // Every pass may move deep directories up into the root of the tree; the next pass removes those.
    do {
      moved.count = 0
      moved.prefix += '+'
      emptyDirectory(native, rootFd, rootFd, 0, moved)
    } while (moved.count > 0)
  } finally {
    native.close(rootFd)
  }
  native.unlinkat(parentFd, name, AT_REMOVEDIR)
}

function emptyDirectory(
  native: FsNative,
  rootFd: number,
  dirFd: number,
  depth: number,
  moved: { count: number; prefix: string },
): void {
  for (const entry of native.readdir(dirFd)) {
    const isDirectory = entry.type === native.fsConstants.S_IFDIR
    if (!isDirectory && unlinkUnlessDirectory(native, dirFd, entry.name)) continue
    if (depth >= kMaxDepth) {
      native.renameat2(dirFd, entry.name, rootFd, `${moved.prefix}${moved.count++}`)
      continue
    }
    const childFd = openDirectory(native, dirFd, entry.name)
    if (childFd === undefined) continue
    try {
      emptyDirectory(native, rootFd, childFd, depth + 1, moved)
    } finally {
      native.close(childFd)
    }
    native.unlinkat(dirFd, entry.name, native.fsConstants.AT_REMOVEDIR)
  }
}

function unlinkUnlessDirectory(native: FsNative, parentFd: number, name: NativePath): boolean {
  try {
    native.unlinkat(parentFd, name)
  } catch (error) {
    if (isNativeError(error, 'EISDIR')) return false
    if (!isNativeError(error, 'ENOENT')) throw error
  }
  return true
}

function openDirectory(native: FsNative, parentFd: number, name: NativePath): number | undefined {
  const { O_DIRECTORY, O_NOFOLLOW } = native.fsConstants
  let fd: number
  try {
    fd = openOwnDirectory(native, parentFd, name, { flags: O_DIRECTORY | O_NOFOLLOW })
  } catch (error) {
    if (isNativeError(error, 'ENOENT')) return undefined
    throw error
  }
  if (process.geteuid?.() !== 0) tryUnlock(native, fd)
  return fd
}

/** To list a directory takes permission to search it, to empty it permission to write. What fails next says so. */
function tryUnlock(native: FsNative, fd: number): void {
  try {
    native.fchmod(fd, 0o700)
  } catch (error) {
    if (!isNativeError(error, 'EPERM', 'EROFS')) throw error
  }
}
