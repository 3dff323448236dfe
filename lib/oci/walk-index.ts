// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import type { Digest } from './digest.ts'
import {
  type Descriptor,
  type ImageIndex,
  type ImageManifest,
  isIndexMediaType,
  kMaxIndexDepth,
  parseIndex,
  parseManifest,
} from './image-config.ts'

/** Most manifests and indexes that are looked at below one index. */
export const kMaxIndexed = 1000
/** Most bytes that they may have together: whoever saves or pushes an index has them in memory. */
export const kMaxIndexedBytes = 64 * 1024 * 1024

/** A manifest or an index that another one names. */
export interface IndexedDocument {
  readonly descriptor: Descriptor
  readonly bytes: Uint8Array
  /** What it says: one of the two. */
  readonly manifest?: ImageManifest
  readonly index?: ImageIndex
}

/** Where a walk gets documents. */
export interface IndexReader {
  /** Hears what one index names that was not named before, ahead of reading any of it. */
  expect?(children: readonly Descriptor[]): Promise<void>
  /** @returns `undefined` for one that is to be left out, with all that it names. */
  read(child: Descriptor): Promise<IndexedDocument | undefined>
}

/** Parses what a descriptor names: its media type decides. @throws {LayerError} */
export function parseIndexed(descriptor: Descriptor, bytes: Uint8Array, what: string): IndexedDocument {
  return isIndexMediaType(descriptor.mediaType)
    ? { descriptor, bytes, index: parseIndex(bytes, what) }
    : { descriptor, bytes, manifest: parseManifest(bytes, what) }
}

/**
 * Visits the manifests and indexes below an index, each once, however often it is named; those below one come before it.
 *
 * @param what names the index in errors
 * @throws {LayerError} where they are nested deeper than {@link kMaxIndexDepth}, are more than {@link kMaxIndexed}, or have more
 *   bytes than {@link kMaxIndexedBytes}. Whatever the reader throws comes out.
 */
export async function* walkIndex(
  index: ImageIndex,
  what: string,
  reader: IndexReader,
): AsyncGenerator<IndexedDocument, void, undefined> {
  yield* new IndexWalk(what, reader).below(index, 1)
}

class IndexWalk {
  readonly #what: string
  readonly #reader: IndexReader
  readonly #named = new Set<Digest>()
  readonly #visited = new Set<Digest>()
  #bytes = 0

  constructor(what: string, reader: IndexReader) {
    this.#what = what
    this.#reader = reader
  }

  async *below(index: ImageIndex, depth: number): AsyncGenerator<IndexedDocument, void, undefined> {
    const fresh = index.manifests.filter(({ digest }) => this.#isNew(digest))
    await this.#reader.expect?.(fresh)
    for (const child of index.manifests) {
      // Not sooner: what an index before it names comes before that one.
      if (this.#visited.has(child.digest)) continue
      this.#visited.add(child.digest)
      const document = await this.#reader.read(child)
      if (document === undefined) continue
      this.#bytes += document.bytes.byteLength
      if (this.#bytes > kMaxIndexedBytes) throw this.#error(`manifests of more than ${kMaxIndexedBytes} bytes`)
      if (document.index !== undefined) {
        if (depth >= kMaxIndexDepth) throw this.#error(`indexes nested deeper than ${kMaxIndexDepth}`)
        yield* this.below(document.index, depth + 1)
      }
      yield document
    }
  }

  #isNew(digest: Digest): boolean {
    if (this.#named.has(digest)) return false
    if (this.#named.size === kMaxIndexed) throw this.#error(`more than ${kMaxIndexed} manifests`)
    this.#named.add(digest)
    return true
  }

  #error(names: string): LayerError {
    return new LayerError(this.#what, undefined, `its index names ${names}`)
  }
}
