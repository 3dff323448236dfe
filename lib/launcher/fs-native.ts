/**
 * File operations of the addon: one function, one system call, all synchronous. Names of files are bytes: a string is
 * passed as UTF-8, a `Uint8Array` as it is. A failed call throws a {@link NativeError}. Call them from a worker thread,
 * or for single quick operations.
 */
export interface FsNative {
  readonly fsConstants: FsConstants

  /**
   * Opens `path` relative to `dirfd`; O_CLOEXEC is always set. `mode` must be 0 unless a file may be created.
   * Where the kernel has no openat2 (or `forceFallback`), the path is walked one component at a time, with the same
   * promises: RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV hold, whatever is renamed meanwhile.
   *
   * @returns a descriptor that the caller closes.
   * @throws {NativeError} EXDEV when the path leaves its root, ELOOP at a forbidden symbolic link.
   * @source openat2(2)
   */
  openat2(dirfd: number, path: NativePath, options: OpenOptions): number
  mkdirat(dirfd: number, path: NativePath, mode: number): void
  /** Makes a node; `mode` holds the type (S_IFCHR, S_IFBLK, S_IFIFO) and the permissions, the umask applies. */
  mknodat(dirfd: number, path: NativePath, mode: number, major?: number, minor?: number): void
  symlinkat(target: NativePath, dirfd: number, path: NativePath): void
  linkat(oldDirfd: number, oldPath: NativePath, newDirfd: number, newPath: NativePath, flags?: number): void
  unlinkat(dirfd: number, path: NativePath, flags?: number): void
  renameat2(oldDirfd: number, oldPath: NativePath, newDirfd: number, newPath: NativePath, flags?: number): void
  readlinkat(dirfd: number, path: NativePath): Buffer
  /** Lists a directory in the file system's order, without `.` and `..`; `type` is S_IFMT bits, 0 when unknown. */
  readdir(dirfd: number): { name: Buffer; type: number }[]

  fchmod(fd: number, mode: number): void
  fchmodat(dirfd: number, path: NativePath, mode: number, flags?: number): void
  fchown(fd: number, uid: number, gid: number): void
  fchownat(dirfd: number, path: NativePath, uid: number, gid: number, flags?: number): void
  futimens(fd: number, accessed: FileTime | null, modified: FileTime | null): void
  utimensat(dirfd: number, path: NativePath, accessed: FileTime | null, modified: FileTime | null, flags?: number): void
  fstatat(dirfd: number, path: NativePath, flags?: number): FileStatus
  /** The magic number of the file system that holds `fd`, for example 0x794c7630 for overlay. */
  fstatfsType(fd: number): number

  fsetxattr(fd: number, name: string, value: Uint8Array, flags?: number): void
  /** Sets an attribute of one entry of a directory, not followed. `entry` is a single name. Needs /proc. */
  lsetxattrat(dirfd: number, entry: NativePath, name: string, value: Uint8Array, flags?: number): void
  /** @returns `undefined` when there is no such attribute. */
  fgetxattr(fd: number, name: string): Buffer | undefined
  lgetxattrat(dirfd: number, entry: NativePath, name: string): Buffer | undefined
  flistxattr(fd: number): string[]
  llistxattrat(dirfd: number, entry: NativePath): string[]
  fremovexattr(fd: number, name: string): void

  /** @returns the number of bytes written, which may be fewer than asked for. */
  write(fd: number, bytes: Uint8Array, offset?: number, length?: number): number
  /** @param position offset in the file, in bytes. */
  pwrite(fd: number, bytes: Uint8Array, offset: number, length: number, position: number): number
  ftruncate(fd: number, sizeBytes: number): void
  fsync(fd: number): void
  fdatasync(fd: number): void
  /** Writes the whole file system that holds `fd` to its device. */
  syncfs(fd: number): void
  /** The same on libuv's pool. `fd` may be closed at once. */
  syncfsAsync(fd: number): Promise<void>
  close(fd: number): void
  /**
   * Makes a regular file beneath `dirfd` that must not exist, with `bytes` from `start` to `end`, and then its owner (-1:
   * left), mode and times: openat2 (for the owner only, following no link), write, fchown, fchmod, futimens, close.
   *
   * A failure of anything after the first leaves a file that is not whole. @throws {NativeError} EEXIST
   */
  makeFile(
    dirfd: number,
    path: NativePath,
    bytes: Uint8Array,
    start: number,
    end: number,
    mode: number,
    uid: number,
    gid: number,
    seconds: number,
    nanoseconds: number,
  ): void
  /** Gives an open file its owner (-1: left), mode and times, and closes it, on failure too. */
  finishFile(fd: number, mode: number, uid: number, gid: number, seconds: number, nanoseconds: number): void
  /**
   * Lists a directory in the order of archives: by the bytes of the names, where a directory's name ends in a slash.
   *
   * @returns per name one byte (1: a directory), one byte of its length less one, and the name.
   * @throws {NativeError} E2BIG when that would be more than `maxBytes`.
   */
  listNames(dirfd: number, maxBytes: number): Buffer
  /**
   * Reads all there is to know of one thing beneath `dirfd`, following no link: its status into `status` (at the places that
   * {@link kEntryField} names), and for a regular file that is not longer than `end - start` its content into `bytes` from
   * `start` on. Of a longer file, and of a directory, `status` has an open descriptor, which the caller closes; else -1. All
   * of it is of one thing, even when names change meanwhile; a device or FIFO is never opened. Needs /proc.
   *
   * @returns a link's target, and then for each extended attribute the length (2 bytes) and name, the length (4 bytes) and
   *   value; `undefined` where there are none of both; `null` when there is no such name.
   * @throws {NativeError} E2BIG when the attributes take more than 1 MiB.
   */
  readEntry(
    dirfd: number,
    path: NativePath,
    status: Float64Array,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Buffer | undefined | null
  /** Reads from a file's present position into `bytes`. @returns the count, less than `end - start` at the file's end only. */
  read(fd: number, bytes: Uint8Array, start: number, end: number): number
  /**
   * Takes or drops a lock on the whole file for this open file description; it vanishes with the last descriptor of it.
   *
   * @returns whether the lock was taken. With `wait` the thread blocks until it is.
   * @source fcntl(2), F_OFD_SETLK
   */
  ofdLock(fd: number, kind: 'read' | 'write' | 'unlock', options?: { wait?: boolean }): boolean
}

export type NativePath = string | Uint8Array

/** Where {@link FsNative.readEntry} puts what: the list is native/fs_pack.cc's. */
export const kEntryField = {
  mode: 0,
  uid: 1,
  gid: 2,
  sizeBytes: 3,
  seconds: 4,
  nanoseconds: 5,
  device: 6,
  inodeHigh: 7,
  inodeLow: 8,
  links: 9,
  deviceMajor: 10,
  deviceMinor: 11,
  /** -1: none. */
  descriptor: 12,
  bytesRead: 13,
  targetLength: 14,
  /** 1: something is mounted there. */
  isMount: 15,
} as const

/** Numbers that a status takes. */
export const kEntryFields = 16

/** A time since the epoch: nanoseconds, or [seconds, nanoseconds] with 0 ≤ nanoseconds < 10⁹. */
export type FileTime = bigint | readonly [seconds: number, nanoseconds: number]

export interface OpenOptions {
  flags: number
  mode?: number
  /** RESOLVE_* bits. */
  resolve?: number
  /** Walks component by component even where the kernel has openat2. @default false */
  forceFallback?: boolean
}

export interface FileStatus {
  dev: number
  ino: bigint
  mode: number
  nlink: number
  uid: number
  gid: number
  sizeBytes: number
  /** Of 512 bytes each. */
  blocks: number
  rdevMajor: number
  rdevMinor: number
  mtime: [seconds: number, nanoseconds: number]
  ctime: [seconds: number, nanoseconds: number]
}

/** What a failed call throws. `errno` is positive. */
export interface NativeError extends Error {
  code: string
  errno: number
  syscall: string
  path?: string
}

/** Values of this platform's headers; several differ between x64 and arm64. */
export interface FsConstants {
  readonly O_RDONLY: number
  readonly O_WRONLY: number
  readonly O_RDWR: number
  readonly O_CREAT: number
  readonly O_EXCL: number
  readonly O_TRUNC: number
  readonly O_APPEND: number
  readonly O_DIRECTORY: number
  readonly O_NOFOLLOW: number
  readonly O_NONBLOCK: number
  readonly O_PATH: number
  readonly O_TMPFILE: number
  readonly AT_FDCWD: number
  readonly AT_SYMLINK_NOFOLLOW: number
  readonly AT_SYMLINK_FOLLOW: number
  readonly AT_EMPTY_PATH: number
  readonly AT_REMOVEDIR: number
  readonly RESOLVE_NO_XDEV: number
  readonly RESOLVE_NO_MAGICLINKS: number
  readonly RESOLVE_NO_SYMLINKS: number
  readonly RESOLVE_BENEATH: number
  readonly RESOLVE_IN_ROOT: number
  readonly RENAME_NOREPLACE: number
  readonly RENAME_EXCHANGE: number
  readonly RENAME_WHITEOUT: number
  readonly S_IFMT: number
  readonly S_IFREG: number
  readonly S_IFDIR: number
  readonly S_IFLNK: number
  readonly S_IFCHR: number
  readonly S_IFBLK: number
  readonly S_IFIFO: number
  readonly S_IFSOCK: number
}

/** Whether `error` came from a system call of the addon, optionally with one of `codes`. */
export function isNativeError(error: unknown, ...codes: readonly string[]): error is NativeError {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return false
  return codes.length === 0 || codes.includes(String(error.code))
}
