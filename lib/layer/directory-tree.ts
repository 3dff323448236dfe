// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import { type FsNative, isNativeError, type OpenOptions } from '../launcher/fs-native.ts'
import { type ByteString, toDisplay, toNativePath } from './byte-string.ts'
import { openOwnDirectory } from './own-directory.ts'
import type { TarEntry } from './tar-entry.ts'

const kMaxOpenDirectories = 64
const kMaxSymlinks = 40

/** A directory of the layer being written. What the archive says about it is applied when all its content is there. */
export interface DirectoryNode {
  readonly name: ByteString
  readonly parent: DirectoryNode | undefined
  readonly depth: number
  readonly children: Map<ByteString, DirectoryNode>
  /** -1: not open at present. */
  fd: number
  entry: TarEntry | undefined
  isOpaque: boolean
  /** Names in it that hold a whiteout. */
  whiteouts: Set<ByteString> | undefined
}

/**
 * The directories below the target, as made by us. Paths are resolved in this tree and never by the kernel: each open is
 * of one name, relative to a descriptor, and follows no link. A symbolic link from the archive that stands in the middle
 * of a path is read and walked here, with the target as its root.
 */
export class DirectoryTree {
  readonly root: DirectoryNode
  readonly #native: FsNative
  readonly #layer: string
  readonly #maxDepth: number
  readonly #open = new Set<DirectoryNode>()
  readonly #how: OpenOptions
  #recent: DirectoryNode | undefined
  #pinned: DirectoryNode | undefined

  /** @param rootFd stays the caller's to close. */
  constructor(native: FsNative, rootFd: number, layer: string, maxDepth: number) {
    this.#native = native
    this.#layer = layer
    this.#maxDepth = maxDepth
    this.root = newNode('', undefined)
    this.root.fd = rootFd
    const { O_DIRECTORY, O_NOFOLLOW, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV } = native.fsConstants
    this.#how = { flags: O_DIRECTORY | O_NOFOLLOW, resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV }
  }

  /** The node's descriptor, good until the next call: only the most recently used ones stay open. */
  fd(node: DirectoryNode): number {
    if (node === this.#recent && node.fd >= 0) return node.fd
    if (node.parent === undefined) return node.fd
    if (node.fd >= 0) {
      this.#open.delete(node)
    } else {
      node.fd = openOwnDirectory(this.#native, this.fd(node.parent), toNativePath(node.name), this.#how)
      if (this.#open.size >= kMaxOpenDirectories) this.#closeOldest()
    }
    this.#open.add(node)
    this.#recent = node
    return node.fd
  }

  /** The descriptors of two nodes, good until the next call. */
  fdPair(first: DirectoryNode, second: DirectoryNode): readonly [number, number] {
    const firstFd = this.fd(first)
    // Opening the second may need many directories above it.
    this.#pinned = first
    const secondFd = this.fd(second)
    this.#pinned = undefined
    return [firstFd, secondFd]
  }

  #closeOldest(): void {
    for (const node of this.#open) {
      if (node === this.#pinned) continue
      this.#close(node)
      return
    }
  }

  #close(node: DirectoryNode): void {
    this.#open.delete(node)
    const fd = node.fd
    node.fd = -1
    this.#native.close(fd)
  }

  /**
   * Finds the directory named by `parts`, through symbolic links of the layer where there are any.
   *
   * @param create whether missing directories are made.
   * @throws {LayerError} when a component is no directory, is missing, or links go in circles.
   */
  resolve(parts: readonly ByteString[], create: boolean, entry: ByteString): DirectoryNode {
    let node = this.root
    for (let i = 0; i < parts.length; i++) {
      const child = node.children.get(parts[i] as ByteString)
      if (child === undefined) return this.#resolveSlowly(node, parts.slice(i), create, entry)
      node = child
    }
    return node
  }

  #resolveSlowly(from: DirectoryNode, parts: ByteString[], create: boolean, entry: ByteString): DirectoryNode {
    let node = from
    let links = 0
    const pending = parts.reverse()
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '' || name === '.') continue
      if (name === '..') {
        node = node.parent ?? this.root
        continue
      }
      const child = node.children.get(name) ?? (create ? this.#tryMake(node, name, entry) : undefined)
      if (child !== undefined) {
        node = child
        continue
      }
      const target = this.#readLink(node, name, entry)
      if (++links > kMaxSymlinks)
        throw new LayerError(this.#layer, toDisplay(entry), 'its path has too many symbolic links')
      if (target.startsWith('/')) node = this.root
      pending.push(...target.split('/').reverse())
    }
    return node
  }

  #tryMake(parent: DirectoryNode, name: ByteString, entry: ByteString): DirectoryNode | undefined {
    try {
      return this.make(parent, name, entry)
    } catch (error) {
      if (isNativeError(error, 'EEXIST')) return undefined
      throw error
    }
  }

  #readLink(parent: DirectoryNode, name: ByteString, entry: ByteString): ByteString {
    try {
      return this.#native.readlinkat(this.fd(parent), toNativePath(name)).toString('latin1')
    } catch (error) {
      if (!isNativeError(error, 'EINVAL', 'ENOENT')) throw error
      const what = error.code === 'EINVAL' ? 'is not a directory' : 'does not exist in this layer'
      throw new LayerError(this.#layer, toDisplay(entry), `${JSON.stringify(toDisplay(name))} in its path ${what}`)
    }
  }

  /** Makes a directory that only its owner can use for now. @throws {NativeError} EEXIST */
  make(parent: DirectoryNode, name: ByteString, entry: ByteString): DirectoryNode {
    if (parent.depth >= this.#maxDepth) {
      throw new LayerError(this.#layer, toDisplay(entry), `its path is deeper than ${this.#maxDepth} directories`)
    }
    this.#native.mkdirat(this.fd(parent), toNativePath(name), 0o700)
    const node = newNode(name, parent)
    parent.children.set(name, node)
    return node
  }

  /** Forgets a directory and all beneath it, which the caller then removes. */
  detach(node: DirectoryNode): void {
    for (const open of [...this.#open]) {
      for (let at: DirectoryNode | undefined = open; at !== undefined; at = at.parent) {
        if (at !== node) continue
        this.#close(open)
        break
      }
    }
    node.parent?.children.delete(node.name)
  }

  /** Visits every directory, each after those beneath it; its descriptor is closed afterwards. */
  visit(apply: (node: DirectoryNode, fd: number) => void, node: DirectoryNode = this.root): void {
    for (const child of node.children.values()) this.visit(apply, child)
    apply(node, this.fd(node))
    if (node !== this.root) this.#close(node)
  }

  /** Closes every descriptor but the root's. */
  close(): void {
    for (const node of [...this.#open]) this.#close(node)
  }
}

function newNode(name: ByteString, parent: DirectoryNode | undefined): DirectoryNode {
  const depth = parent === undefined ? 0 : parent.depth + 1
  return { name, parent, depth, children: new Map(), fd: -1, entry: undefined, isOpaque: false, whiteouts: undefined }
}
