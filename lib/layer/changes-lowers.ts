// SPDX-License-Identifier: MIT
import type { FsNative } from '../launcher/fs-native.ts'
import { type ByteString, toNativePath } from './byte-string.ts'
import { EntryReader, type FoundEntry, isOpaque, isWhiteout, NameList } from './pack-entry.ts'
import { openDirectory } from './pack-open.ts'

/** Bytes that the names of one directory take, at most. */
const kMaxListBytes = 256 * 1024 * 1024
const kMaxPathBytes = 4095

/** What layers together show at one path. */
export interface LowerView {
  /** The topmost thing there; its descriptor is closed. */
  readonly entry: FoundEntry
  readonly path: ByteString
  /** Of a directory: the layers whose directories show together there, from the topmost down. */
  readonly layers: readonly number[]
}

/**
 * Unpacked layers as an overlay mount would show them, without a mount. They do not change, so that their paths may be
 * resolved from each layer's root, by the kernel, which follows no link there.
 */
export class LowerLayers {
  readonly #native: FsNative
  readonly #entries: EntryReader
  readonly #roots: number[] = []

  /** @param layers paths or open descriptors, from the topmost down. */
  constructor(native: FsNative, layers: readonly (string | number)[]) {
    this.#native = native
    this.#entries = new EntryReader(native)
    try {
      for (const layer of layers) this.#roots.push(openDirectory(native, layer))
    } catch (error) {
      this.close()
      throw error
    }
  }

  close(): void {
    for (const fd of this.#roots.splice(0)) this.#native.close(fd)
  }

  /** `undefined` where there are no layers. */
  root(): LowerView | undefined {
    return this.#view('.', [...this.#roots.keys()])
  }

  /** What there is of that name in a directory; `undefined` where nothing shows. */
  child(directory: LowerView, name: ByteString): LowerView | undefined {
    return this.#view(directory.path === '.' ? name : `${directory.path}/${name}`, directory.layers)
  }

  /** The names that show in a directory, in the order of their bytes. */
  names(directory: LowerView): ByteString[] {
    const names = new Set<ByteString>()
    for (const layer of directory.layers) {
      const found = this.#entries.look(this.#roots[layer] as number, toNativePath(directory.path))
      if (found === undefined || found.fd < 0) continue
      try {
        const list = new NameList(this.#native, found.fd, kMaxListBytes)
        for (let name = list.next(); name !== undefined; name = list.next()) names.add(name.toString('latin1'))
      } finally {
        this.#native.close(found.fd)
      }
    }
    return [...names].filter((name) => this.child(directory, name) !== undefined).sort()
  }

  #view(path: ByteString, candidates: readonly number[]): LowerView | undefined {
    // Longer than layers may have, and than the kernel takes.
    if (path.length > kMaxPathBytes) return undefined
    let entry: FoundEntry | undefined
    const layers: number[] = []
    for (const layer of candidates) {
      const found = this.#entries.look(this.#roots[layer] as number, toNativePath(path))
      if (found === undefined) continue
      if (found.fd >= 0) this.#native.close(found.fd)
      // What is no directory hides all below it, and a directory above it is not joined with it.
      if (isWhiteout(found)) break
      entry ??= found
      if (found.kind !== 'directory') break
      layers.push(layer)
      if (isOpaque(found)) break
    }
    return entry === undefined ? undefined : { entry, path, layers }
  }
}
