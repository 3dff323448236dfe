// SPDX-License-Identifier: MIT
import type { FsNative } from '../launcher/fs-native.ts'

/** Opens a directory by its path, following no link at its end, or again by a descriptor, which stays as it is. */
export function openDirectory(native: FsNative, directory: string | number): number {
  const { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW } = native.fsConstants
  const [dirFd, path] = typeof directory === 'number' ? [directory, '.'] : [AT_FDCWD, directory]
  return native.openat2(dirFd, path, { flags: O_DIRECTORY | O_NOFOLLOW })
}
