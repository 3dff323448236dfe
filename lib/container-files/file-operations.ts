// SPDX-License-Identifier: MIT
import { posix } from 'node:path'
import { SyscallError } from '../errors.ts'
import { isNativeError } from '../launcher/fs-native.ts'
import { fileTypeOf } from '../layer/file-types.ts'
import { removeTree } from '../layer/remove-tree.ts'
import type {
  ContainerDirectoryEntry,
  ContainerFileStatus,
  ContainerFileType,
  FileJob,
  OwnerAndMode,
} from './file-jobs.ts'
import type { RemoteFs } from './remote-fs.ts'

type Job<K extends FileJob['kind']> = Extract<FileJob, { kind: K }>

const kReadBytes = 1024 * 1024
const kErrno = { EINVAL: 22, EFBIG: 27, ENOENT: 2, EISDIR: 21, ENOTDIR: 20 } as const

/** An error in the form that system calls have, for what we refuse ourselves. */
export function refusal(
  code: keyof typeof kErrno,
  syscall: string,
  path: string,
  text: string,
  hint?: string,
): SyscallError {
  return new SyscallError(`Cannot work on ${path}`, {
    code,
    errno: kErrno[code],
    syscall,
    path,
    args: path,
    text,
    hint,
  })
}

/** Opens, uses and closes. */
export function withFd<T>(fs: Pick<RemoteFs, 'close'>, fd: number, use: (fd: number) => T): T {
  try {
    return use(fd)
  } finally {
    fs.close(fd)
  }
}

export function typeOf(mode: number): ContainerFileType {
  return fileTypeOf(mode) ?? 'file'
}

export function statFile(fs: RemoteFs, { path, followSymlinks }: Job<'stat'>): ContainerFileStatus {
  const { O_PATH, O_NOFOLLOW } = fs.fsConstants
  return withFd(fs, fs.openInRoot(path, O_PATH | (followSymlinks ? 0 : O_NOFOLLOW)), (fd) => {
    const { mode, uid, gid, sizeBytes, nlink, mtime } = fs.fstat(fd)
    const type = typeOf(mode)
    const target = type === 'symlink' ? fs.freadlink(fd).toString() : undefined
    const modifiedAt = new Date(mtime[0] * 1000 + Math.floor(mtime[1] / 1e6))
    return { type, mode: mode & 0o7777, uid, gid, sizeBytes, links: nlink, modifiedAt, target }
  })
}

export function readDirectory(fs: RemoteFs, { path }: Job<'readdir'>): ContainerDirectoryEntry[] {
  return withFd(fs, fs.openInRoot(path, fs.fsConstants.O_DIRECTORY), (fd) =>
    fs
      .readdir(fd)
      .flatMap(({ name, type }): ContainerDirectoryEntry[] => {
        const mode = type === 0 ? modeIfThere(fs, fd, name) : type
        return mode === undefined ? [] : [{ name: name.toString(), type: typeOf(mode) }]
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  )
}

function modeIfThere(fs: RemoteFs, fd: number, name: Buffer): number | undefined {
  try {
    return fs.fstatat(fd, name).mode
  } catch (error) {
    if (isNativeError(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Reads a regular file. Files of /proc have no size, so that only their end tells their length. */
export function readWhole(fs: RemoteFs, { path, maxBytes }: Job<'read'>): Uint8Array {
  return withFd(fs, openRegular(fs, path, fs.fsConstants.O_RDONLY), (fd) => {
    const { sizeBytes } = fs.fstat(fd)
    const pieces: Buffer[] = []
    let total = 0
    for (;;) {
      const room = Buffer.allocUnsafeSlow(
        Math.max(1, Math.min(kReadBytes, sizeBytes + 1 - total, maxBytes + 1 - total)),
      )
      const bytes = fs.read(fd, room, 0, room.length)
      total += bytes
      pieces.push(room.subarray(0, bytes))
      if (total > maxBytes) {
        throw refusal('EFBIG', 'read', path, `it has more than ${maxBytes} bytes`, 'raise maxBytes, or use copyOut()')
      }
      if (bytes < room.length || bytes === 0) return new Uint8Array(Buffer.concat(pieces))
    }
  })
}

export function writeWhole(fs: RemoteFs, { path, bytes, owner }: Job<'write'>): void {
  writeThrough(fs, path, owner, (fd) => writeAll(fs, fd, bytes))
}

/** Opens a file to be written anew, as a program in the container would, lets it be filled, and gives it its owner and mode. */
export function writeThrough(fs: RemoteFs, path: string, owner: OwnerAndMode, fill: (fd: number) => void): void {
  const { fd, isNew } = openForWriting(fs, path)
  withFd(fs, fd, () => {
    fs.ftruncate(fd, 0)
    fill(fd)
    const { uid, gid, mode } = owner
    if (isNew || uid !== undefined || gid !== undefined) fs.fchown(fd, uid ?? (isNew ? 0 : -1), gid ?? (isNew ? 0 : -1))
    if (isNew || mode !== undefined) fs.fchmod(fd, mode ?? 0o644)
  })
}

function openForWriting(fs: RemoteFs, path: string): { fd: number; isNew: boolean } {
  const { O_WRONLY, O_CREAT } = fs.fsConstants
  try {
    return { fd: openRegular(fs, path, O_WRONLY), isNew: false }
  } catch (error) {
    if (!isNativeError(error, 'ENOENT')) throw error
  }
  return { fd: openRegular(fs, path, O_WRONLY | O_CREAT, 0o600), isNew: true }
}

/** Opens a regular file's content. */
export function openRegular(fs: RemoteFs, path: string, flags: number, mode?: number): number {
  try {
    return fs.openInRoot(path, flags, mode)
  } catch (error) {
    if (!isNativeError(error, 'EINVAL')) throw error
    throw refusal('EINVAL', 'open', path, 'it is not a regular file', 'devices, FIFOs and sockets are never opened')
  }
}

export function writeAll(fs: Pick<RemoteFs, 'write'>, fd: number, bytes: Uint8Array, end = bytes.length): void {
  for (let at = 0; at < end; ) at += fs.write(fd, bytes, at, end - at)
}

export function removePath(fs: RemoteFs, { path, recursive, force }: Job<'remove'>): void {
  const { O_PATH, O_DIRECTORY } = fs.fsConstants
  const clean = posix.normalize(path).replace(/\/$/, '')
  if (clean === '') throw refusal('EINVAL', 'unlink', path, 'the root stays')
  const name = Buffer.from(posix.basename(clean))
  try {
    withFd(fs, fs.openInRoot(posix.dirname(clean), O_PATH | O_DIRECTORY), (parent) => {
      // Said first, because removeTree takes what is not there for done.
      if (!force || !recursive) fs.fstatat(parent, name)
      if (recursive) removeTree(fs, parent, name)
      else fs.unlinkat(parent, name)
    })
  } catch (error) {
    if (force && isNativeError(error, 'ENOENT')) return
    throw error
  }
}

/** Removes everything in a directory, whoever changes it meanwhile. */
export function emptyDirectory(fs: RemoteFs, { target }: Job<'empty'>): void {
  withFd(fs, fs.openInRoot(target, fs.fsConstants.O_DIRECTORY), (fd) => {
    for (const { name } of fs.readdir(fd)) removeTree(fs, fd, name)
  })
}

export function makeDirectory(fs: RemoteFs, { path, recursive, mode }: Job<'mkdir'>): void {
  const { O_PATH, O_DIRECTORY } = fs.fsConstants
  const clean = posix.normalize(path).replace(/\/$/, '')
  const parentPath = posix.dirname(clean === '' ? '/' : clean)
  if (clean === '') {
    if (recursive) return
    throw refusal('EINVAL', 'mkdir', path, 'it is the root')
  }
  let parent: number
  try {
    parent = fs.openInRoot(parentPath, O_PATH | O_DIRECTORY)
  } catch (error) {
    if (!recursive || !isNativeError(error, 'ENOENT')) throw error
    makeDirectory(fs, { kind: 'mkdir', path: parentPath, recursive, mode })
    parent = fs.openInRoot(parentPath, O_PATH | O_DIRECTORY)
  }
  withFd(fs, parent, () => {
    try {
      fs.mkdirat(parent, posix.basename(clean), mode)
    } catch (error) {
      if (!recursive || !isNativeError(error, 'EEXIST')) throw error
      fs.close(fs.openInRoot(clean, O_PATH | O_DIRECTORY))
    }
  })
}
