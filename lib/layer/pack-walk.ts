// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import type { FsNative } from '../launcher/fs-native.ts'
import { type ByteString, toDisplay } from './byte-string.ts'
import { EntryReader, type FoundEntry, NameList } from './pack-entry.ts'

const kMaxOpenDirectories = 64
/** Names of one directory are held at once, because they are sorted. */
const kMaxListBytes = 256 * 1024 * 1024

interface Level {
  /** -1: not open at present. */
  fd: number
  readonly inode: string
  /** In its parent. */
  readonly name: Buffer
  /** From the root of the tree; empty for it, else with a slash at the end. */
  readonly path: ByteString
  names: NameList | undefined
}

/** A name that the walk has come to. */
export interface Step {
  /** Of the directory that holds it; good until the next step. */
  dirFd: number
  name: Buffer
  /** From the root of the tree. */
  path: ByteString
}

/**
 * Walks a tree that others may change meanwhile, each directory by a descriptor of its own, so that no link and no rename
 * leads out of it. The way up is the way that was taken down: of a directory that had to be closed and is another one when
 * it is opened again, the walk says so.
 */
export class TreeWalk {
  readonly #native: FsNative
  readonly #layer: string
  readonly #maxDepth: number
  readonly #entries: EntryReader
  readonly #levels: Level[] = []

  /** @param layer names the tree in errors. */
  constructor(native: FsNative, layer: string, maxDepth: number) {
    this.#native = native
    this.#layer = layer
    this.#maxDepth = maxDepth
    this.#entries = new EntryReader(native)
  }

  /** Directories between the root and where the walk is. */
  get depth(): number {
    return this.#levels.length - 1
  }

  /** Goes into a directory, whose descriptor is the walk's to close from now on. `path` has a slash at the end. */
  enter(directory: FoundEntry, name: Buffer, path: ByteString): void {
    const { fd, inode } = directory
    // First: whatever fails, it is closed.
    const level: Level = { fd, inode, name, path, names: undefined }
    this.#levels.push(level)
    if (this.depth > this.#maxDepth) {
      throw new LayerError(this.#layer, toDisplay(path), `its path is deeper than ${this.#maxDepth} directories`)
    }
    level.names = new NameList(this.#native, fd, kMaxListBytes)
    // The root stays open: there is no way back to it.
    const old = this.depth - kMaxOpenDirectories
    if (old > 0 && this.#at(old).fd >= 0) this.#close(this.#at(old))
  }

  /** Goes to the next name of the directory where the walk is; `undefined` leaves that directory. */
  next(): Step | undefined {
    const level = this.#at(this.depth)
    const name = level.names?.next()
    if (name === undefined) {
      this.#levels.pop()
      if (level.fd >= 0) this.#close(level)
      return undefined
    }
    return { dirFd: this.#fd(this.depth), name, path: level.path + name.toString('latin1') }
  }

  /** Whether there is a directory left to go on with. */
  get isDone(): boolean {
    return this.#levels.length === 0
  }

  /** Closes every directory. */
  close(): void {
    for (const level of this.#levels.splice(0)) if (level.fd >= 0) this.#close(level)
  }

  #close(level: Level): void {
    const { fd } = level
    level.fd = -1
    this.#native.close(fd)
  }

  #fd(index: number): number {
    let open = index
    while (this.#at(open).fd < 0) open--
    for (let i = open + 1; i <= index; i++) this.#reopen(this.#at(i), this.#at(i - 1).fd)
    // Those just above stay: the walk comes to them next.
    for (let i = Math.max(open, 1); i < index - kMaxOpenDirectories / 2; i++) {
      if (this.#at(i).fd >= 0) this.#close(this.#at(i))
    }
    return this.#at(index).fd
  }

  #at(index: number): Level {
    return this.#levels[index] as Level
  }

  #reopen(level: Level, parentFd: number): void {
    const again = this.#entries.look(parentFd, level.name)
    if (again?.kind === 'directory' && again.inode === level.inode) {
      level.fd = again.fd
      return
    }
    if (again !== undefined && again.fd >= 0) this.#native.close(again.fd)
    throw new LayerError(this.#layer, toDisplay(level.path), 'it was moved or removed while its tree was read')
  }
}
