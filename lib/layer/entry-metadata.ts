// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import { type FsNative, isNativeError, type NativePath, type OpenOptions } from '../launcher/fs-native.ts'
import { toDisplay } from './byte-string.ts'
import type { DirectoryNode } from './directory-tree.ts'
import type { TarEntry, TarEntryType } from './tar-entry.ts'
import { isWantedXattr, kOpaqueXattr } from './xattr-policy.ts'

/** `preserve`: the archive's owners, which takes the privilege to give files away. `current-user`: all is the caller's. */
export type OwnerMap = 'preserve' | 'current-user'

type Times = TarEntry['mtime']

/** Gives files the owners, attributes, modes and times that the archive states, in the order in which they survive. */
export class MetadataWriter {
  /** How a file is created: for its owner only, until it is whole. */
  readonly createFile: OpenOptions
  readonly #native: FsNative
  readonly #layer: string
  readonly #ownerMap: OwnerMap
  readonly #uid = process.geteuid?.() ?? 0
  readonly #gid = process.getegid?.() ?? 0

  constructor(native: FsNative, layer: string, ownerMap: OwnerMap) {
    this.#native = native
    this.#layer = layer
    this.#ownerMap = ownerMap
    const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = native.fsConstants
    const { RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS } = native.fsConstants
    this.createFile = {
      flags: O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW,
      mode: 0o600,
      resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    }
  }

  /** Makes a file of content that lies in `chunk` as a whole. The entry has no attributes. @throws {NativeError} EEXIST */
  makeFile(parentFd: number, name: NativePath, entry: TarEntry, chunk: Buffer, start: number, end: number): void {
    const isOther = this.#mustChown(entry)
    const [uid, gid] = [isOther ? entry.uid : -1, isOther ? entry.gid : -1]
    this.#native.makeFile(parentFd, name, chunk, start, end, entry.mode, uid, gid, entry.mtime[0], entry.mtime[1])
  }

  /** Completes and closes an open file that has its content: writing clears set-id bits and capabilities, chown does too. */
  finishFile(fd: number, entry: TarEntry): void {
    let [uid, gid] = this.#mustChown(entry) ? [entry.uid, entry.gid] : [-1, -1]
    try {
      if (entry.xattrs !== undefined) {
        if (uid !== -1) this.#native.fchown(fd, uid, gid)
        uid = gid = -1
        this.#setXattrs(fd, entry)
      }
    } catch (error) {
      this.#native.close(fd)
      throw error
    }
    this.#native.finishFile(fd, entry.mode, uid, gid, entry.mtime[0], entry.mtime[1])
  }

  /** To a directory that gets no more entries. One that the archive does not name is root's, 0755, at the epoch. */
  applyToDirectory(fd: number, node: DirectoryNode): void {
    const { entry } = node
    const time: Times = entry?.mtime ?? [0, 0]
    const owner = entry ?? { uid: 0, gid: 0 }
    if (this.#mustChown(owner)) this.#native.fchown(fd, owner.uid, owner.gid)
    if (entry?.xattrs !== undefined) this.#setXattrs(fd, entry)
    if (node.isOpaque) this.#native.fsetxattr(fd, kOpaqueXattr, Buffer.from('y'))
    this.#native.fchmod(fd, entry?.mode ?? 0o755)
    this.#native.futimens(fd, time, time)
  }

  /** To a symbolic link, FIFO or device just made as `name` in `parentFd`. */
  applyToNode(parentFd: number, name: NativePath, entry: TarEntry): void {
    const { AT_SYMLINK_NOFOLLOW } = this.#native.fsConstants
    if (this.#mustChown(entry)) this.#native.fchownat(parentFd, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW)
    for (const [key, value] of wantedXattrs(entry)) {
      this.#tolerate(entry, key, () => this.#native.lsetxattrat(parentFd, name, key, value))
    }
    if (entry.type !== 'symlink') this.#native.fchmodat(parentFd, name, entry.mode, AT_SYMLINK_NOFOLLOW)
    this.#native.utimensat(parentFd, name, entry.mtime, entry.mtime, AT_SYMLINK_NOFOLLOW)
  }

  #mustChown(owner: { uid: number; gid: number }): boolean {
    return this.#ownerMap === 'preserve' && (owner.uid !== this.#uid || owner.gid !== this.#gid)
  }

  #setXattrs(fd: number, entry: TarEntry): void {
    for (const [key, value] of wantedXattrs(entry)) {
      this.#tolerate(entry, key, () => this.#native.fsetxattr(fd, key, value))
    }
  }

  /** A file system without such attributes, or a user who may not set them, is no reason to refuse an image. */
  #tolerate(entry: TarEntry, key: string, set: () => void): void {
    try {
      set()
    } catch (error) {
      if (isNativeError(error, 'ENOTSUP')) return
      if (this.#ownerMap === 'current-user' && isNativeError(error, 'EPERM')) return
      // A name or a value that makes no sense to the kernel is the archive's fault.
      if (!isNativeError(error, 'EINVAL', 'ERANGE', 'E2BIG')) throw error
      const what = `its extended attribute ${JSON.stringify(toDisplay(key))} is refused by the kernel`
      throw new LayerError(this.#layer, toDisplay(entry.path), what, { cause: error })
    }
  }
}

function* wantedXattrs(entry: TarEntry): Generator<[string, Buffer]> {
  for (const [key, value] of entry.xattrs ?? []) {
    if (isWantedXattr(key) && !(key.startsWith('user.') && !takesUserXattrs(entry.type))) yield [key, value]
  }
}

/** The kernel keeps user attributes on files and directories only. @source xattr(7) */
function takesUserXattrs(type: TarEntryType): boolean {
  return type === 'file' || type === 'directory'
}
