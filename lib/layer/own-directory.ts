// SPDX-License-Identifier: MIT
import { type FsNative, isNativeError, type NativePath, type OpenOptions } from '../launcher/fs-native.ts'

/**
 * Opens a directory that is the caller's own. An archive, or the umask of the process, may have left its owner without a permission
 * that an ordinary user needs: then the owner gets it.
 */
export function openOwnDirectory(native: FsNative, parentFd: number, name: NativePath, how: OpenOptions): number {
  try {
    return native.openat2(parentFd, name, how)
  } catch (error) {
    if (!isNativeError(error, 'EACCES')) throw error
    native.fchmodat(parentFd, name, 0o700, native.fsConstants.AT_SYMLINK_NOFOLLOW)
    return native.openat2(parentFd, name, how)
  }
}
