// SPDX-License-Identifier: MIT
import {
  type FileStatus,
  type FileTime,
  isNativeError,
  kEntryField,
  kEntryFields,
  type NativePath,
  type OpenOptions,
} from '../launcher/fs-native.ts'
import type { Native } from '../launcher/native.ts'
import { encodeFileRequest, type FileOpName, type FileRequest } from './file-protocol.ts'

/** File operations inside of a container. Names and ids are those that the container's root sees. */
export interface RemoteFs extends Native {
  /** Opens a path from the container's root, as a process of the container would. */
  openInRoot(path: NativePath, flags: number, mode?: number): number
  /** The status of what a descriptor stands for, with the container's ids. */
  fstat(fd: number): FileStatus
  /** The target of the link that an O_PATH descriptor stands for. */
  freadlink(fd: number): Buffer
}

const kNoBytes = Buffer.alloc(0)
const kNoPlace: readonly number[] = []

/**
 * Gives the addon's file operations another executor: a process that serves files (native/file_server.cc) does whatever
 * takes ids or privileges, and hands the descriptors over. What is done with an open file alone is done here. Blocks the thread.
 */
export function remoteFs(native: Native, socket: number): RemoteFs {
  const { O_PATH, O_NOFOLLOW } = native.fsConstants
  const status = new Float64Array(kEntryFields)
  const call = (op: FileOpName, fds: readonly number[], request: FileRequest): Buffer | undefined =>
    native.fileCall(socket, encodeFileRequest(op, request), fds, status, kNoBytes, 0, 0, op)
  const open = (fds: readonly number[], path: NativePath, flags: number, mode = 0): number => {
    call('open', fds, { path, flags, mode })
    return status[kEntryField.descriptor] as number
  }
  const statOf = (fd: number): FileStatus => {
    call('stat', [fd], {})
    return fileStatus(status)
  }
  const withName = <T>(dirfd: number, path: NativePath, use: (fd: number) => T): T => {
    const fd = open([dirfd], path, O_PATH | O_NOFOLLOW)
    try {
      return use(fd)
    } finally {
      native.close(fd)
    }
  }
  const chown = (fd: number, uid: number, gid: number): void => void call('chown', [fd], { uid, gid })
  const chmod = (fd: number, mode: number): void => void call('chmod', [fd], { mode })
  const touch = (fd: number, time: FileTime | null): void => {
    const [seconds, nanoseconds] = timeOf(time)
    call('utimens', [fd], { seconds, nanoseconds })
  }
  const setXattr = (fd: number, name: string, value: Uint8Array): void =>
    void call('setxattr', [fd], { path: Buffer.from(name, 'latin1'), value })
  return {
    ...native,
    openInRoot: (path, flags, mode) => open(kNoPlace, path, flags, mode),
    fstat: statOf,
    freadlink: (fd) => call('readlink', [fd], {}) ?? kNoBytes,
    openat2: (dirfd, path, { flags, mode }: OpenOptions) => open([dirfd], path, flags, mode),
    mkdirat: (dirfd, path, mode) => void call('mkdir', [dirfd], { path, mode }),
    mknodat: (dirfd, path, mode, major = 0, minor = 0) => void call('mknod', [dirfd], { path, mode, major, minor }),
    symlinkat: (target, dirfd, path) => void call('symlink', [dirfd], { path, other: target }),
    linkat: (from, path, to, other) => void call('link', [from, to], { path, other }),
    unlinkat: (dirfd, path, flags = 0) => void call('unlink', [dirfd], { path, flags }),
    renameat2: (from, path, to, other) => void call('rename', [from, to], { path, other }),
    readlinkat: (dirfd, path) => withName(dirfd, path, (fd) => call('readlink', [fd], {}) ?? kNoBytes),
    fstatat: (dirfd, path) => withName(dirfd, path, statOf),
    fchmod: chmod,
    fchmodat: (dirfd, path, mode) => withName(dirfd, path, (fd) => chmod(fd, mode)),
    fchown: chown,
    fchownat: (dirfd, path, uid, gid) => withName(dirfd, path, (fd) => chown(fd, uid, gid)),
    futimens: (fd, _accessed, modified) => touch(fd, modified),
    utimensat: (dirfd, path, _accessed, modified) => withName(dirfd, path, (fd) => touch(fd, modified)),
    fsetxattr: setXattr,
    lsetxattrat: (dirfd, path, name, value) => withName(dirfd, path, (fd) => setXattr(fd, name, value)),
    readEntry(dirfd, path, into, bytes, start, end) {
      const request = encodeFileRequest('readEntry', { path, room: end - start })
      try {
        return native.fileCall(socket, request, [dirfd], into, bytes, start, end, 'readEntry')
      } catch (error) {
        if (isNativeError(error, 'ENOENT', 'ENOTDIR')) return null
        throw error
      }
    },
  }
}

function fileStatus(status: Float64Array): FileStatus {
  const field = (index: number): number => status[index] as number
  const { inodeHigh, inodeLow, seconds, nanoseconds } = kEntryField
  return {
    dev: field(kEntryField.device),
    ino: (BigInt(field(inodeHigh)) << 32n) | BigInt(field(inodeLow)),
    mode: field(kEntryField.mode),
    nlink: field(kEntryField.links),
    uid: field(kEntryField.uid),
    gid: field(kEntryField.gid),
    sizeBytes: field(kEntryField.sizeBytes),
    blocks: 0,
    rdevMajor: field(kEntryField.deviceMajor),
    rdevMinor: field(kEntryField.deviceMinor),
    mtime: [field(seconds), field(nanoseconds)],
    ctime: [0, 0],
  }
}

function timeOf(time: FileTime | null): readonly [number, number] {
  if (time === null) return [Math.floor(Date.now() / 1000), 0]
  if (typeof time !== 'bigint') return time
  const seconds = time / 1_000_000_000n
  return [Number(seconds), Number(time - seconds * 1_000_000_000n)]
}
