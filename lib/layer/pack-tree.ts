// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import type { FsNative } from '../launcher/fs-native.ts'
import { type ByteString, toDisplay } from './byte-string.ts'
import { EntryReader, type FoundEntry, isOpaque, isWhiteout, redirectionOf, type Xattr } from './pack-entry.ts'
import { encodeHeader, type PackHeader, roundUp, type TarTypeFlag } from './pack-header.ts'
import { IdsBack } from './pack-ids.ts'
import type { PackTreeOptions, TreeSummary } from './pack-protocol.ts'
import { TreeWalk } from './pack-walk.ts'
import { kBlockBytes } from './tar-header.ts'
import { kMaxMetaBytes } from './tar-parser.ts'
import { isWantedXattr } from './xattr-policy.ts'

/** Bytes of a chunk of the archive, at most. */
export const kPackChunkBytes = 1024 * 1024
/** A file up to this size is read by the call that looks at it. */
const kSmallBytes = 256 * 1024
/** Room that most headers fit into. */
const kHeaderRoom = 8 * kBlockBytes
const kWhiteout = '.wh.'
const kOpaqueMarker = '.wh..wh..opq'
/** Names of files that shrank are listed up to this number. */
const kMaxShrunk = 100

/** proc, sysfs, cgroup (both), devpts, mqueue, debugfs, tracefs, securityfs, bpf: what they show is no content. */
const kKernelFileSystems: ReadonlySet<number> = new Set([
  0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x1cd1, 0x19800202, 0x64626720, 0x74726163, 0x73636673, 0xcafe4a11,
])

const kFlags: Readonly<Record<Exclude<FoundEntry['kind'], 'socket'>, TarTypeFlag>> = {
  file: '0',
  symlink: '2',
  'char-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
}

/** Makes an archive of a tree, chunk by chunk, in memory that does not depend on the sizes of files. Blocks the thread. */
export class TreePacker {
  readonly summary: TreeSummary = { entries: 0, unpackedBytes: 0, skipped: 0, shrunk: [] }
  readonly #native: FsNative
  readonly #options: PackTreeOptions
  readonly #entries: EntryReader
  readonly #walk: TreeWalk
  readonly #ids: IdsBack
  /** Paths of files that have more names than one, by inode. */
  readonly #linked = new Map<string, ByteString>()
  readonly #nextBuffer: () => Buffer
  #out: Buffer
  #fill = 0
  /** The length of the last header: a guess where the next file's content will begin. */
  #guess = kBlockBytes
  #openFile = -1
  #current: ByteString | undefined

  /** @param nextBuffer gives room for a chunk, of {@link kPackChunkBytes}; asked again after each chunk. */
  constructor(native: FsNative, options: PackTreeOptions, nextBuffer: () => Buffer) {
    this.#native = native
    this.#options = options
    this.#nextBuffer = nextBuffer
    this.#entries = new EntryReader(native)
    this.#walk = new TreeWalk(native, options.layer, options.limits.maxPathDepth)
    this.#ids = new IdsBack(options.idMap)
    this.#out = nextBuffer()
  }

  /** The name in work, for messages about errors of the system. */
  get currentEntry(): string | undefined {
    return this.#current === undefined ? undefined : toDisplay(this.#current)
  }

  /** The archive of the directory `rootFd`, which stays the caller's to close. A chunk is the taker's to keep. */
  *chunks(rootFd: number): Generator<Buffer, void, undefined> {
    try {
      const root = this.#entries.look(rootFd, '.')
      if (root?.kind === 'directory') yield* this.#directory(root, Buffer.from('.'), '')
      yield* this.#rest()
    } finally {
      this.close()
    }
  }

  /**
   * The archive of one thing in a directory, and of all that is in it, under another name. What is mounted there belongs to it.
   *
   * @returns nothing at all when there is no such thing.
   */
  *member(dirFd: number, name: Buffer, path: ByteString): Generator<Buffer, boolean, undefined> {
    try {
      const entry = this.#entries.look(dirFd, name)
      if (entry === undefined) return false
      this.#current = path
      // Its content was not asked for: it comes by the descriptor.
      yield* this.#entry({ ...entry, isMount: false }, name, path)
      yield* this.#rest()
      return true
    } finally {
      this.close()
    }
  }

  *#rest(): Generator<Buffer, void, undefined> {
    while (!this.#walk.isDone) {
      const step = this.#walk.next()
      if (step === undefined) continue
      this.#current = step.path
      yield* this.#reserve(kHeaderRoom + kSmallBytes)
      const at = this.#fill + this.#guess
      const entry = this.#entries.read(step.dirFd, step.name, this.#out, at, at + kSmallBytes)
      // Removed since its directory was listed.
      if (entry !== undefined) yield* this.#entry(entry, step.name, step.path)
    }
    this.#current = undefined
    yield* this.#put(Buffer.alloc(2 * kBlockBytes))
    yield this.#out.subarray(0, this.#fill)
  }

  /** Closes what is open. May be called more than once. */
  close(): void {
    if (this.#openFile >= 0) this.#native.close(this.#openFile)
    this.#openFile = -1
    this.#walk.close()
  }

  *#entry(entry: FoundEntry, name: Buffer, path: ByteString): Generator<Buffer, void, undefined> {
    this.#openFile = entry.kind === 'file' ? entry.fd : -1
    if (this.#options.whiteouts && isWhiteout(entry)) {
      yield* this.#marker(`${path.slice(0, path.length - name.length)}${kWhiteout}${name.toString('latin1')}`)
    } else if (entry.kind === 'socket') {
      this.summary.skipped++
    } else if (entry.kind === 'directory') {
      yield* this.#directory(entry, name, `${path}/`)
      return
    } else {
      yield* this.#file(entry, entry.kind, path)
    }
    if (this.#openFile >= 0) this.#native.close(this.#openFile)
    this.#openFile = -1
  }

  *#directory(entry: FoundEntry, name: Buffer, path: ByteString): Generator<Buffer, void, undefined> {
    // Given away first, so that it is closed whatever fails; what is mounted there is another tree.
    if (entry.isMount && path !== '' && !this.#mayCross(entry)) {
      this.#native.close(entry.fd)
      this.summary.skipped++
    } else {
      this.#walk.enter(entry, name, path)
    }
    yield* this.#put(this.#header(entry, '5', path === '' ? './' : path, ''))
    if (this.#options.whiteouts && isOpaque(entry)) yield* this.#marker(`${path}${kOpaqueMarker}`)
  }

  #mayCross({ fd }: FoundEntry): boolean {
    return this.#options.crossMounts === true && !kKernelFileSystems.has(this.#native.fstatfsType(fd))
  }

  *#file(
    entry: FoundEntry,
    kind: 'file' | 'symlink' | 'char-device' | 'block-device' | 'fifo',
    path: ByteString,
  ): Generator<Buffer, void, undefined> {
    const first = this.#firstNameOf(entry, path)
    if (first !== undefined) {
      yield* this.#put(this.#header(entry, '1', path, first))
      return
    }
    const header = this.#header(entry, kFlags[kind], path, entry.target)
    if (kind !== 'file') yield* this.#put(header)
    else if (entry.fd >= 0) yield* this.#large(entry, header, path)
    else yield* this.#small(entry, header, path)
  }

  /** The path under which the file is in the archive already; a name that comes first is noted. */
  #firstNameOf(entry: FoundEntry, path: ByteString): ByteString | undefined {
    if (entry.links < 2) return undefined
    // The kind too: a number of an inode is given again once its file is gone.
    const key = `${entry.kind} ${entry.inode}`
    const first = this.#linked.get(key)
    if (first === undefined) this.#linked.set(key, path)
    return first
  }

  /** A file whose content lies in the chunk already, where the header was thought to end. */
  *#small(entry: FoundEntry, header: Buffer, path: ByteString): Generator<Buffer, void, undefined> {
    const from = this.#fill + this.#guess
    const to = this.#fill + header.length
    const end = roundUp(entry.sizeBytes)
    if (to + end > this.#out.length) {
      const content = Buffer.from(this.#out.subarray(from, from + entry.bytesRead))
      yield* this.#put(header)
      yield* this.#put(content)
      yield* this.#zeros(end - entry.bytesRead)
    } else {
      if (from !== to) this.#out.copyWithin(to, from, from + entry.bytesRead)
      header.copy(this.#out, this.#fill)
      this.#out.fill(0, to + entry.bytesRead, to + end)
      this.#fill = to + end
    }
    this.#guess = Math.min(header.length, kHeaderRoom)
    if (entry.bytesRead < entry.sizeBytes) this.#noteShrunk(path)
  }

  *#large(entry: FoundEntry, header: Buffer, path: ByteString): Generator<Buffer, void, undefined> {
    yield* this.#put(header)
    let left = entry.sizeBytes
    while (left > 0) {
      yield* this.#reserve(1)
      const end = Math.min(this.#out.length, this.#fill + left)
      const bytes = this.#native.read(entry.fd, this.#out, this.#fill, end)
      const wanted = end - this.#fill
      this.#fill += bytes
      left -= bytes
      if (bytes < wanted) break
    }
    yield* this.#zeros(left + roundUp(entry.sizeBytes) - entry.sizeBytes)
    if (left > 0) this.#noteShrunk(path)
  }

  #noteShrunk(path: ByteString): void {
    if (this.summary.shrunk.length < kMaxShrunk) this.summary.shrunk.push(toDisplay(path))
  }

  /** A mark that hides something. Nothing of it depends on when and how it was hidden. */
  *#marker(path: ByteString): Generator<Buffer, void, undefined> {
    const plain = { linkPath: '', sizeBytes: 0, nanoseconds: 0, deviceMajor: 0, deviceMinor: 0, xattrs: [] }
    yield* this.#put(this.#encode({ ...plain, path, typeFlag: '0', mode: 0o600, uid: 0, gid: 0, seconds: 0 }))
  }

  #header(entry: FoundEntry, typeFlag: TarTypeFlag, path: ByteString, linkPath: ByteString): Buffer {
    const [uid, gid] = [this.#ids.uid(entry.uid), this.#ids.gid(entry.gid)]
    if (uid === undefined || gid === undefined) {
      throw this.#error(`its owner ${entry.uid}:${entry.gid} is not in the container's id map`)
    }
    if (this.#options.whiteouts) this.#checkLayer(entry, path)
    const clamp = this.#options.clampSeconds
    const isLate = clamp !== undefined && entry.seconds >= clamp
    const isDevice = typeFlag === '3' || typeFlag === '4'
    return this.#encode({
      path,
      linkPath,
      typeFlag,
      mode: entry.mode,
      uid,
      gid,
      sizeBytes: typeFlag === '0' ? entry.sizeBytes : 0,
      seconds: isLate ? clamp : entry.seconds,
      nanoseconds: isLate ? 0 : entry.nanoseconds,
      deviceMajor: isDevice ? entry.deviceMajor : 0,
      deviceMinor: isDevice ? entry.deviceMinor : 0,
      xattrs: typeFlag === '1' ? [] : this.#xattrs(entry),
    })
  }

  #encode(header: PackHeader): Buffer {
    const { maxEntries, maxBytes, maxNameBytes } = this.#options.limits
    const { summary } = this
    if (++summary.entries > maxEntries) throw this.#error(`the layer has more than ${maxEntries} entries`)
    summary.unpackedBytes += header.sizeBytes
    if (summary.unpackedBytes > maxBytes) throw this.#error(`the layer has more than ${maxBytes} bytes`)
    if (header.path.length > maxNameBytes) throw this.#error(`its name is longer than ${maxNameBytes} bytes`)
    const bytes = encodeHeader(header)
    if (bytes.length > kMaxMetaBytes) throw this.#error('its extended attributes take more than 1 MiB')
    return bytes
  }

  #checkLayer(entry: FoundEntry, path: ByteString): void {
    const name = path.slice(path.lastIndexOf('/', path.length - 2) + 1)
    if (name.startsWith(kWhiteout)) {
      throw this.#error(`its name begins with ${kWhiteout}, by which layers mark what is deleted`)
    }
    const redirection = redirectionOf(entry)
    if (redirection !== undefined) throw this.#error(`overlayfs has it from elsewhere (${redirection})`)
  }

  #xattrs(entry: FoundEntry): readonly Xattr[] {
    if (entry.xattrs.length === 0) return entry.xattrs
    return entry.xattrs
      .filter(([name]) => isWantedXattr(name))
      .map(([name, value]): Xattr => {
        const mapped = this.#ids.xattr(name, value)
        if (mapped !== undefined) return [name, mapped]
        throw this.#error(`its attribute ${name} names an id that is not in the container's id map`)
      })
  }

  #error(reason: string): LayerError {
    return new LayerError(this.#options.layer, this.currentEntry, reason)
  }

  /** Makes room for so many bytes, at most a chunk. */
  *#reserve(bytes: number): Generator<Buffer, void, undefined> {
    if (this.#out.length - this.#fill >= bytes) return
    yield this.#out.subarray(0, this.#fill)
    this.#out = this.#nextBuffer()
    this.#fill = 0
  }

  *#put(bytes: Buffer): Generator<Buffer, void, undefined> {
    for (let at = 0; at < bytes.length; ) {
      yield* this.#reserve(1)
      const count = bytes.copy(this.#out, this.#fill, at)
      this.#fill += count
      at += count
    }
  }

  *#zeros(count: number): Generator<Buffer, void, undefined> {
    for (let left = count; left > 0; ) {
      yield* this.#reserve(1)
      const end = Math.min(this.#out.length, this.#fill + left)
      this.#out.fill(0, this.#fill, end)
      left -= end - this.#fill
      this.#fill = end
    }
  }
}
