// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import { isNativeError } from '../launcher/fs-native.ts'
import type { Native } from '../launcher/native.ts'
import { type ByteString, toDisplay, toNativePath } from '../layer/byte-string.ts'
import { cleanEntryPath } from '../layer/entry-path.ts'
import type { LayerLimits } from '../layer/limits.ts'
import type { TarEntry, TarHandler } from '../layer/tar-entry.ts'
import { isWantedXattr } from '../layer/xattr-policy.ts'
import type { WriterPlace } from './writer-place.ts'

const kSetIds = 0o6000
const kMaxId = 0xfffffffe

export interface TreeWriterOptions {
  /** Names the archive in errors. */
  readonly archive: string
  readonly limits: LayerLimits
  /** Owner of all that is written; what is left out is the archive's. */
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** Permission bits of regular files. @default the archive's */
  readonly mode?: number | undefined
  /**
   * Whether it is written to the host, where what a container made must gain nothing: no owners, set-id bits, attributes, devices and
   * FIFOs.
   */
  readonly toHost: boolean
  /** Whether the owners are the archive's also there. @default false */
  readonly keepsOwners?: boolean | undefined
  /** Whether the archive's root directory gives the target its owner and mode: the target was made for it. */
  readonly ownsRoot: boolean
  /** Whether devices are left out. @default with `toHost` */
  readonly noDevices?: boolean | undefined
}

interface LateDirectory {
  readonly parts: readonly ByteString[]
  readonly entry: TarEntry
}

/**
 * Writes an archive into a tree that is there and may change meanwhile. What is in the way is replaced, but no directory by
 * something else and nothing else by a directory. Blocks the thread.
 */
export class TreeWriter implements TarHandler {
  /** Members that were not written: of kinds that the target may not have. */
  skipped = 0
  readonly #native: Native
  readonly #place: WriterPlace
  readonly #options: TreeWriterOptions
  readonly #directories: LateDirectory[] = []
  #entries = 0
  #bytes = 0
  #current: TarEntry | undefined
  #fd = -1

  constructor(native: Native, place: WriterPlace, options: TreeWriterOptions) {
    this.#native = native
    this.#place = place
    this.#options = options
  }

  /** The member in work, for messages about errors of the system. */
  get currentEntry(): string | undefined {
    return this.#current === undefined ? undefined : toDisplay(this.#current.path)
  }

  entry(entry: TarEntry): void {
    this.#current = entry
    this.#checkLimits(entry)
    const parts = cleanEntryPath(entry.path)
    if (parts === undefined) throw this.#error('its name leads out of the target')
    if (parts.length === 0) {
      if (entry.type !== 'directory') throw this.#error('it would replace the target')
      if (this.#options.ownsRoot) this.#directories.push({ parts, entry })
      return
    }
    if (this.#isSkipped(entry)) {
      this.skipped++
      return
    }
    const parent = this.#place.directory(parts.slice(0, -1))
    const name = toNativePath(parts.at(-1) as ByteString)
    if (entry.type === 'directory') this.#makeDirectory(parent, name, { parts, entry })
    else this.#make(parent, name, entry)
  }

  data(chunk: Buffer, start: number, end: number, position: number): void {
    if (this.#fd < 0) return
    for (let at = start; at < end; ) {
      at += this.#native.pwrite(this.#fd, chunk, at, end - at, position + at - start)
    }
  }

  entryEnd(): void {
    const [fd, entry] = [this.#fd, this.#current]
    this.#fd = -1
    try {
      if (fd >= 0 && entry !== undefined) {
        if (entry.isSparse) this.#native.ftruncate(fd, entry.sizeBytes)
        this.#finish(fd, entry)
      }
    } finally {
      if (fd >= 0) this.#native.close(fd)
      this.#current = undefined
    }
  }

  /** Gives directories what they would lose while things are made in them. To be called once, after the last member. */
  finish(): void {
    const { O_DIRECTORY, O_NOFOLLOW } = this.#native.fsConstants
    for (const { parts, entry } of this.#directories.reverse()) {
      this.#current = entry
      const parent = this.#place.directory(parts.slice(0, -1))
      const name = parts.at(-1)
      const fd = this.#native.openat2(parent, name === undefined ? '.' : toNativePath(name), {
        flags: O_DIRECTORY | O_NOFOLLOW,
      })
      try {
        this.#finish(fd, entry)
      } finally {
        this.#native.close(fd)
      }
    }
    this.#current = undefined
  }

  close(): void {
    if (this.#fd >= 0) this.#native.close(this.#fd)
    this.#fd = -1
    this.#place.close()
  }

  #isSkipped({ type }: TarEntry): boolean {
    if (this.#options.noDevices === true && type.endsWith('-device')) return true
    return this.#options.toHost && !['file', 'directory', 'symlink', 'hardlink'].includes(type)
  }

  #makeDirectory(parent: number, name: string | Uint8Array, late: LateDirectory): void {
    try {
      this.#native.mkdirat(parent, name, 0o700)
    } catch (error) {
      if (!isNativeError(error, 'EEXIST')) throw error
      if (this.#kindOf(parent, name) !== 'directory') throw this.#error('what is there is no directory')
    }
    this.#directories.push(late)
  }

  #make(parent: number, name: string | Uint8Array, entry: TarEntry): void {
    try {
      this.#makeNew(parent, name, entry)
    } catch (error) {
      if (!isNativeError(error, 'EEXIST')) throw error
      if (this.#kindOf(parent, name) === 'directory') throw this.#error('what is there is a directory')
      this.#replace(parent, name, entry)
    }
  }

  #replace(parent: number, name: string | Uint8Array, entry: TarEntry): void {
    const { O_WRONLY, O_NOFOLLOW } = this.#native.fsConstants
    try {
      this.#native.unlinkat(parent, name)
    } catch (error) {
      // Something is mounted on it: then its content is what can change.
      if (!isNativeError(error, 'EBUSY') || entry.type !== 'file') throw error
      this.#fd = this.#native.openat2(parent, name, { flags: O_WRONLY | O_NOFOLLOW })
      this.#native.ftruncate(this.#fd, 0)
      return
    }
    this.#makeNew(parent, name, entry)
  }

  #makeNew(parent: number, name: string | Uint8Array, entry: TarEntry): void {
    const native = this.#native
    const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW, S_IFCHR, S_IFBLK, S_IFIFO } = native.fsConstants
    switch (entry.type) {
      case 'file':
        this.#fd = native.openat2(parent, name, { flags: O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, mode: 0o600 })
        return
      case 'symlink':
        native.symlinkat(toNativePath(entry.linkPath), parent, name)
        break
      case 'hardlink':
        this.#link(parent, name, entry)
        return
      default: {
        const type = { 'char-device': S_IFCHR, 'block-device': S_IFBLK, fifo: S_IFIFO, directory: 0 }[entry.type]
        native.mknodat(parent, name, type | 0o600, entry.deviceMajor, entry.deviceMinor)
      }
    }
    const fd = native.openat2(parent, name, { flags: native.fsConstants.O_PATH | O_NOFOLLOW })
    try {
      this.#finish(fd, entry)
    } finally {
      native.close(fd)
    }
  }

  #link(parent: number, name: string | Uint8Array, entry: TarEntry): void {
    const parts = cleanEntryPath(entry.linkPath)
    const target = parts?.pop()
    if (parts === undefined || target === undefined) throw this.#error('its link leads out of the target')
    // A second descriptor: the place may keep one at a time only.
    const own = this.#native.duplicate(parent)
    try {
      this.#native.linkat(this.#place.directory(parts), toNativePath(target), own, name)
    } finally {
      this.#native.close(own)
    }
  }

  /** In this order: a change of owner clears set-id bits, and any change the times. */
  #finish(fd: number, entry: TarEntry): void {
    const { toHost, keepsOwners, mode, uid, gid } = this.#options
    if (!toHost || keepsOwners === true) this.#native.fchown(fd, uid ?? entry.uid, gid ?? entry.gid)
    if (!toHost) this.#setXattrs(fd, entry)
    if (entry.type !== 'symlink') {
      const bits = entry.type === 'file' ? (mode ?? entry.mode) : entry.mode
      this.#native.fchmod(fd, toHost ? bits & ~kSetIds : bits)
    }
    if (!toHost || entry.type !== 'symlink') this.#native.futimens(fd, entry.mtime, entry.mtime)
  }

  #setXattrs(fd: number, entry: TarEntry): void {
    for (const [key, value] of entry.xattrs ?? []) {
      if (!isWantedXattr(key) || (key.startsWith('user.') && entry.type !== 'file' && entry.type !== 'directory'))
        continue
      try {
        this.#native.fsetxattr(fd, key, value)
      } catch (error) {
        if (!isNativeError(error, 'ENOTSUP', 'EPERM')) throw error
      }
    }
  }

  #kindOf(parent: number, name: string | Uint8Array): 'directory' | 'other' {
    const { S_IFMT, S_IFDIR, AT_SYMLINK_NOFOLLOW } = this.#native.fsConstants
    const { mode } = this.#native.fstatat(parent, name, AT_SYMLINK_NOFOLLOW)
    return (mode & S_IFMT) === S_IFDIR ? 'directory' : 'other'
  }

  #checkLimits(entry: TarEntry): void {
    const { maxEntries, maxBytes, maxNameBytes, maxPathDepth } = this.#options.limits
    if (++this.#entries > maxEntries) throw this.#error(`the archive has more than ${maxEntries} entries`)
    this.#bytes += entry.sizeBytes
    if (this.#bytes > maxBytes) throw this.#error(`the archive unpacks to more than ${maxBytes} bytes`)
    if (entry.path.length > maxNameBytes) throw this.#error(`its name is longer than ${maxNameBytes} bytes`)
    if (entry.linkPath.length > maxNameBytes) throw this.#error(`its link target is longer than ${maxNameBytes} bytes`)
    if (entry.path.split('/').length > maxPathDepth) throw this.#error(`it is deeper than ${maxPathDepth} directories`)
    const isId = (id: number): boolean => id >= 0 && id <= kMaxId
    if (!isId(entry.uid) || !isId(entry.gid)) throw this.#error('its owner is no possible id')
  }

  #error(reason: string): LayerError {
    return new LayerError(this.#options.archive, this.currentEntry, reason)
  }
}
