// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import { type FsNative, isNativeError } from '../launcher/fs-native.ts'
import { type ByteString, toDisplay, toNativePath } from './byte-string.ts'
import { type DirectoryNode, DirectoryTree } from './directory-tree.ts'
import { MetadataWriter, type OwnerMap } from './entry-metadata.ts'
import { cleanEntryPath } from './entry-path.ts'
import type { LayerLimits } from './limits.ts'
import { removeTree } from './remove-tree.ts'
import type { TarEntry, TarHandler } from './tar-entry.ts'

const kWhiteout = '.wh.'
const kAufsMeta = '.wh..wh.'
const kOpaqueMarker = '.wh..wh..opq'
const kNoBytes = Buffer.alloc(0)
const kMaxId = 0xfffffffe // 2³² - 1 means "leave it" to chown

export interface LayerWriterOptions {
  layer: string
  limits: LayerLimits
  ownerMap: OwnerMap
}

interface PendingFile {
  parent: DirectoryNode
  name: ByteString
}

/** A directory, and the text before the last slash of names in it. */
interface NamedDirectory {
  text: ByteString
  node: DirectoryNode
}

/**
 * Writes the entries of one archive as an overlay layer beneath a directory that was empty before, and of which nobody
 * else makes use. Nothing outside it is created, changed or removed, whatever the entries say.
 *
 * Where an archive names a thing twice the later entry stands, two directories become one. A thing that the archive both
 * holds and hides is there, and hides what lower layers have.
 */
export class LayerWriter implements TarHandler {
  entries = 0
  /** Sum of the sizes of all files. */
  sizeBytes = 0
  readonly #native: FsNative
  readonly #layer: string
  readonly #limits: LayerLimits
  readonly #ownerMap: OwnerMap
  readonly #tree: DirectoryTree
  readonly #metadata: MetadataWriter
  #current: TarEntry | undefined
  #fileFd = -1
  /** A file that is to be made when its first bytes come: where all of them come at once, one call does it. */
  #pendingFile: PendingFile | undefined
  /**
   * Where the last entry lies, until something is removed: archives list directories one after the other, so that most names need
   * not be resolved.
   */
  #nearby: NamedDirectory | undefined

  constructor(native: FsNative, rootFd: number, options: LayerWriterOptions) {
    this.#native = native
    this.#layer = options.layer
    this.#limits = options.limits
    this.#ownerMap = options.ownerMap
    this.#tree = new DirectoryTree(native, rootFd, options.layer, options.limits.maxPathDepth)
    this.#metadata = new MetadataWriter(native, options.layer, options.ownerMap)
  }

  /** Name of the entry being written, for messages about errors of the system. */
  get currentEntry(): string | undefined {
    return this.#current === undefined ? undefined : toDisplay(this.#current.path)
  }

  entry(entry: TarEntry): void {
    this.#current = entry
    this.#checkLimits(entry)
    const { path } = entry
    const hasMarker = path.includes(kWhiteout)
    const start = path.lastIndexOf('/') + 1
    if (!hasMarker && start === this.#nearby?.text.length && path.startsWith(this.#nearby.text)) {
      const name = path.slice(start)
      if (isPlain(name)) {
        this.#make(this.#nearby.node, name, entry)
        return
      }
    }
    const parts = cleanEntryPath(path)
    if (parts === undefined) throw this.#error('its name leads out of the layer')
    const name = parts.pop()
    if (name === undefined) {
      if (entry.type !== 'directory') throw this.#error('it would replace the root of the layer')
      this.#tree.root.entry = entry
      return
    }
    if (hasMarker && this.#handleMarker(parts, name)) return
    const parent = this.#tree.resolve(parts, true, path)
    this.#nearby = path.endsWith(name) ? { text: path.slice(0, start), node: parent } : undefined
    this.#make(parent, name, entry)
  }

  #make(parent: DirectoryNode, name: ByteString, entry: TarEntry): void {
    switch (entry.type) {
      case 'file':
        this.#pendingFile = { parent, name }
        break
      case 'directory':
        this.#makeDirectory(parent, name, entry)
        break
      case 'symlink':
        this.#makeSymlink(parent, name, entry)
        break
      case 'hardlink':
        this.#makeHardLink(parent, name, entry)
        break
      default:
        this.#makeNode(parent, name, entry)
    }
  }

  data(chunk: Buffer, start: number, end: number, position: number): void {
    if (this.#pendingFile !== undefined && this.#startFile(chunk, start, end)) return
    if (this.#fileFd < 0) return
    const isSparse = this.#current?.isSparse === true
    for (let at = start; at < end; ) {
      const length = end - at
      at += isSparse
        ? this.#native.pwrite(this.#fileFd, chunk, at, length, position + at - start)
        : this.#native.write(this.#fileFd, chunk, at, length)
    }
  }

  entryEnd(): void {
    if (this.#pendingFile !== undefined) this.#startFile(kNoBytes, 0, 0)
    if (this.#fileFd >= 0) {
      const fd = this.#fileFd
      const entry = this.#current as TarEntry
      if (entry.isSparse) this.#native.ftruncate(fd, entry.sizeBytes)
      this.#fileFd = -1
      this.#metadata.finishFile(fd, entry)
    }
    this.#current = undefined
  }

  /** Gives all directories their owners, modes, attributes and times. To be called once, after the last entry. */
  finish(): void {
    this.#tree.visit((node, fd) => {
      this.#current = node.entry
      this.#metadata.applyToDirectory(fd, node)
      this.#current = undefined
    })
  }

  /** Closes what is open. May be called more than once. */
  close(): void {
    if (this.#fileFd >= 0) this.#native.close(this.#fileFd)
    this.#fileFd = -1
    this.#tree.close()
  }

  #error(reason: string, cause?: unknown): LayerError {
    return new LayerError(this.#layer, this.currentEntry, reason, { cause })
  }

  #checkLimits(entry: TarEntry): void {
    const { maxEntries, maxBytes, maxNameBytes } = this.#limits
    if (++this.entries > maxEntries) throw this.#error(`the layer has more than ${maxEntries} entries`)
    this.sizeBytes += entry.sizeBytes
    if (this.sizeBytes > maxBytes) throw this.#error(`the layer unpacks to more than ${maxBytes} bytes`)
    if (entry.path.length > maxNameBytes) throw this.#error(`its name is longer than ${maxNameBytes} bytes`)
    if (entry.linkPath.length > maxNameBytes) throw this.#error(`its link target is longer than ${maxNameBytes} bytes`)
    const { uid, gid } = entry
    if (uid < 0 || uid > kMaxId || gid < 0 || gid > kMaxId) {
      throw this.#error(`its owner ${uid}:${gid} is out of range`)
    }
  }

  /** @returns whether the entry was a marker, and is dealt with. */
  #handleMarker(parts: ByteString[], name: ByteString): boolean {
    if (parts.some((part) => part.startsWith(kAufsMeta))) return true
    if (parts.some((part) => part.startsWith(kWhiteout))) throw this.#error('it lies beneath a whiteout')
    if (!name.startsWith(kWhiteout)) return false
    const entry = this.#current as TarEntry
    if (name === kOpaqueMarker) {
      this.#tree.resolve(parts, true, entry.path).isOpaque = true
      return true
    }
    if (name.startsWith(kAufsMeta)) return true // bookkeeping of aufs
    const hidden = name.slice(kWhiteout.length)
    if (hidden === '' || hidden === '.' || hidden === '..') throw this.#error('it hides no name')
    this.#makeWhiteout(this.#tree.resolve(parts, true, entry.path), hidden)
    return true
  }

  #makeWhiteout(parent: DirectoryNode, hidden: ByteString): void {
    const own = parent.children.get(hidden)
    if (own !== undefined) {
      own.isOpaque = true
      return
    }
    try {
      this.#native.mknodat(this.#tree.fd(parent), toNativePath(hidden), this.#native.fsConstants.S_IFCHR, 0, 0)
    } catch (error) {
      // The layer itself has a file of this name, which hides the lower one as well.
      if (isNativeError(error, 'EEXIST')) return
      throw this.#explain(error)
    }
    parent.whiteouts ??= new Set()
    parent.whiteouts.add(hidden)
  }

  /** Makes the file that is pending. @returns whether it is complete, with all its bytes from `chunk`. */
  #startFile(chunk: Buffer, start: number, end: number): boolean {
    const { parent, name } = this.#pendingFile as PendingFile
    const entry = this.#current as TarEntry
    const path = toNativePath(name)
    this.#pendingFile = undefined
    const isWhole = end - start === entry.sizeBytes && !entry.isSparse && entry.xattrs === undefined
    this.#fileFd = this.#replacing(parent, name, (fd) => {
      if (!isWhole) return this.#native.openat2(fd, path, this.#metadata.createFile)
      this.#metadata.makeFile(fd, path, entry, chunk, start, end)
      return -1
    })
    return isWhole
  }

  #makeDirectory(parent: DirectoryNode, name: ByteString, entry: TarEntry): void {
    const known = parent.children.get(name)
    if (known !== undefined) {
      known.entry = entry
      return
    }
    const hidesLower = parent.whiteouts?.has(name) === true
    const node = this.#replacing(parent, name, () => this.#tree.make(parent, name, entry.path))
    node.entry = entry
    node.isOpaque = hidesLower
  }

  #makeSymlink(parent: DirectoryNode, name: ByteString, entry: TarEntry): void {
    if (entry.linkPath === '') throw this.#error('it is a symbolic link to nothing')
    const target = toNativePath(entry.linkPath)
    this.#replacing(parent, name, (fd) => this.#native.symlinkat(target, fd, toNativePath(name)))
    this.#metadata.applyToNode(this.#tree.fd(parent), toNativePath(name), entry)
  }

  #makeHardLink(parent: DirectoryNode, name: ByteString, entry: TarEntry): void {
    const parts = cleanEntryPath(entry.linkPath)
    if (parts === undefined) throw this.#error('it is a hard link to a place outside of the layer')
    const from = parts.pop()
    if (from === undefined || from.startsWith(kWhiteout)) throw this.#error('it is a hard link to no file')
    const source = this.#tree.resolve(parts, false, entry.path)
    if (source.children.has(from)) throw this.#error('it is a hard link to a directory')
    if (source.whiteouts?.has(from) === true) throw this.#error('it is a hard link to a file that the layer hides')
    if (source === parent && from === name) return
    if (isWithin(source, parent.children.get(name))) throw this.#error('it would replace what it is a hard link to')
    this.#replacing(parent, name, () => {
      const [sourceFd, parentFd] = this.#tree.fdPair(source, parent)
      try {
        this.#native.linkat(sourceFd, toNativePath(from), parentFd, toNativePath(name))
      } catch (error) {
        if (!isNativeError(error, 'ENOENT')) throw error
        throw this.#error('it is a hard link to a file that does not exist in this layer', error)
      }
    })
  }

  #makeNode(parent: DirectoryNode, name: ByteString, entry: TarEntry): void {
    const { S_IFIFO, S_IFCHR, S_IFBLK } = this.#native.fsConstants
    const isDevice = entry.type !== 'fifo'
    if (isDevice && this.#ownerMap === 'current-user') return
    const type = !isDevice ? S_IFIFO : entry.type === 'char-device' ? S_IFCHR : S_IFBLK
    if (entry.deviceMajor < 0 || entry.deviceMajor > 0xfff || entry.deviceMinor < 0 || entry.deviceMinor > 0xfffff) {
      throw this.#error('its device number is out of range')
    }
    const path = toNativePath(name)
    const { deviceMajor, deviceMinor } = entry
    this.#replacing(parent, name, (fd) => this.#native.mknodat(fd, path, type | 0o600, deviceMajor, deviceMinor))
    this.#metadata.applyToNode(this.#tree.fd(parent), path, entry)
  }

  /** Makes a thing; where the name is taken, what has it is removed first. */
  #replacing<T>(parent: DirectoryNode, name: ByteString, make: (parentFd: number) => T): T {
    try {
      return make(this.#tree.fd(parent))
    } catch (error) {
      if (!isNativeError(error, 'EEXIST')) throw this.#explain(error)
    }
    this.#nearby = undefined
    const known = parent.children.get(name)
    if (known === undefined) {
      this.#native.unlinkat(this.#tree.fd(parent), toNativePath(name))
    } else {
      this.#tree.detach(known)
      removeTree(this.#native, this.#tree.fd(parent), toNativePath(name))
    }
    parent.whiteouts?.delete(name)
    try {
      return make(this.#tree.fd(parent))
    } catch (error) {
      throw this.#explain(error)
    }
  }

  /** Tells what is the archive's fault from what is the system's. */
  #explain(error: unknown): unknown {
    if (isNativeError(error, 'ENAMETOOLONG')) return this.#error('its name has a component that is too long', error)
    if (isNativeError(error, 'EMLINK')) return this.#error('its file has too many hard links', error)
    return error
  }
}

/** Whether it is a name, and nothing that leads elsewhere. */
function isPlain(name: ByteString): boolean {
  return name !== '' && name !== '.' && name !== '..'
}

function isWithin(node: DirectoryNode, ancestor: DirectoryNode | undefined): boolean {
  if (ancestor === undefined) return false
  for (let at: DirectoryNode | undefined = node; at !== undefined; at = at.parent) if (at === ancestor) return true
  return false
}
