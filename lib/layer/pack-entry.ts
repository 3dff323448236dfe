// SPDX-License-Identifier: MIT
import { type FsNative, kEntryField, kEntryFields, type NativePath } from '../launcher/fs-native.ts'
import type { ByteString } from './byte-string.ts'
import { type FileType, fileTypeOf } from './file-types.ts'

export type EntryKind = FileType

/** An extended attribute; the name is a byte string. */
export type Xattr = readonly [name: ByteString, value: Buffer]

/** One thing of a tree, as it was at one moment. */
export interface FoundEntry {
  kind: EntryKind
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  sizeBytes: number
  seconds: number
  nanoseconds: number
  links: number
  /** Names the inode: two names with equal ones are one file. */
  inode: string
  deviceMajor: number
  deviceMinor: number
  /** Of a directory, and of a file whose content was not read with it: the caller's to close. Else -1. */
  fd: number
  /** Of a file whose content was read with it: bytes that are there. */
  bytesRead: number
  target: ByteString
  /** Sorted by the bytes of their names. */
  xattrs: readonly Xattr[]
  /** Something else is mounted there. */
  isMount: boolean
}

const kNoBytes = Buffer.alloc(0)
const kWhiteoutXattrs = ['trusted.overlay.whiteout', 'user.overlay.whiteout']
const kOpaqueXattrs = ['trusted.overlay.opaque', 'user.overlay.opaque']
const kRedirections = /^(trusted|user)\.overlay\.(redirect|metacopy)$/

/** Looks at things in directories, each by one call. Blocks the thread. */
export class EntryReader {
  readonly #native: FsNative
  readonly #status = new Float64Array(kEntryFields)

  constructor(native: FsNative) {
    this.#native = native
  }

  /** Looks at `name`; a regular file's content is not read. @returns `undefined` when there is no such name. */
  look(dirFd: number, name: NativePath): FoundEntry | undefined {
    return this.read(dirFd, name, kNoBytes, 0, 0)
  }

  /** Looks at `name` and, when it is a regular file that fits, reads it into `bytes` from `start` on. */
  read(dirFd: number, name: NativePath, bytes: Buffer, start: number, end: number): FoundEntry | undefined {
    const extra = this.#native.readEntry(dirFd, name, this.#status, bytes, start, end)
    return extra === null ? undefined : this.#found(extra ?? kNoBytes)
  }

  #found(extra: Buffer): FoundEntry {
    const field = (index: number): number => this.#status[index] as number
    const mode = field(kEntryField.mode)
    const targetLength = field(kEntryField.targetLength)
    return {
      kind: fileTypeOf(mode) ?? 'socket',
      mode: mode & 0o7777,
      uid: field(kEntryField.uid),
      gid: field(kEntryField.gid),
      sizeBytes: field(kEntryField.sizeBytes),
      seconds: field(kEntryField.seconds),
      nanoseconds: field(kEntryField.nanoseconds),
      links: field(kEntryField.links),
      inode: `${field(kEntryField.device)}:${field(kEntryField.inodeHigh)}:${field(kEntryField.inodeLow)}`,
      deviceMajor: field(kEntryField.deviceMajor),
      deviceMinor: field(kEntryField.deviceMinor),
      fd: field(kEntryField.descriptor),
      bytesRead: field(kEntryField.bytesRead),
      target: extra.toString('latin1', 0, targetLength),
      xattrs: extra.length === targetLength ? [] : parseXattrs(extra, targetLength),
      isMount: field(kEntryField.isMount) !== 0,
    }
  }
}

/** Whether it hides a name of the layers below: a device 0/0, or an empty file that an attribute marks. */
export function isWhiteout(entry: FoundEntry): boolean {
  if (entry.kind === 'char-device') return entry.deviceMajor === 0 && entry.deviceMinor === 0
  if (entry.kind !== 'file' || entry.sizeBytes !== 0) return false
  return entry.xattrs.some(([name]) => kWhiteoutXattrs.includes(name))
}

/** Whether a directory hides all that the layers below have in it. */
export function isOpaque(entry: FoundEntry): boolean {
  return entry.xattrs.some(([name, value]) => kOpaqueXattrs.includes(name) && value.toString('latin1') === 'y')
}

/** The attribute by which overlayfs takes a thing's content or name from elsewhere, which no layer can express. */
export function redirectionOf(entry: FoundEntry): ByteString | undefined {
  return entry.xattrs.find(([name]) => kRedirections.test(name))?.[0]
}

/** The names in a directory, in order. `maxBytes` bounds what they take. */
export class NameList {
  readonly #packed: Buffer
  #at = 0

  constructor(native: FsNative, dirFd: number, maxBytes: number) {
    this.#packed = native.listNames(dirFd, maxBytes)
  }

  /** The next name; it shares the list's memory. `undefined` after the last one. */
  next(): Buffer | undefined {
    if (this.#at >= this.#packed.length) return undefined
    const start = this.#at + 2
    this.#at = start + (this.#packed[this.#at + 1] as number) + 1
    return this.#packed.subarray(start, this.#at)
  }
}

function parseXattrs(extra: Buffer, start: number): Xattr[] {
  const found: Xattr[] = []
  for (let at = start; at < extra.length; ) {
    const nameEnd = at + 2 + extra.readUInt16LE(at)
    const valueEnd = nameEnd + 4 + extra.readUInt32LE(nameEnd)
    found.push([extra.toString('latin1', at + 2, nameEnd), extra.subarray(nameEnd + 4, valueEnd)])
    at = valueEnd
  }
  return found.sort(([a], [b]) => (a < b ? -1 : 1))
}
