// SPDX-License-Identifier: MIT
import { createHash } from 'node:crypto'
import { LayerError, WherryError } from '../errors.ts'
import type { FsNative } from '../launcher/fs-native.ts'
import type { LayerFeed, LayerFeedEnd, LayerNative } from '../launcher/layer-native.ts'
import { ChunkRing, type RingMemory, stopped } from './chunk-ring.ts'
import type { LayerSummary } from './decode-layer.ts'
import type { DecodedLayer } from './unpack-stream.ts'
import type { FeedSource } from './worker-protocol.ts'

/** Thrown before the first chunk when the addon's thread cannot read a layer. */
export class FeedUnsupportedError extends Error {}

/** How a download that is being read came to its end. */
export function brokenDownload(what: string): WherryError {
  return new WherryError(`The file being downloaded ${what}.`, { code: 'ERR_DOWNLOAD' })
}

type FileSource = Exclude<FeedSource, { kind: 'messages' }>

/** A layer that a thread of the addon reads, hashes and inflates. The digest of what came out of it is made here. */
export class NativeFeed implements DecodedLayer {
  readonly #native: LayerNative & FsNative
  readonly #memory: RingMemory
  readonly #source: FileSource
  readonly #layer: string
  readonly #ring: ChunkRing
  readonly #diffHash = createHash('sha256')
  #ownFd: number | undefined
  #feed: LayerFeed | undefined
  #end: LayerFeedEnd | undefined

  constructor(native: LayerNative & FsNative, memory: RingMemory, job: { source: FileSource; layer: string }) {
    this.#native = native
    this.#memory = memory
    this.#source = job.source
    this.#layer = job.layer
    this.#ring = new ChunkRing(memory, {
      sleep: (words, index, value) => native.futexWait(words, index, value),
      wake: (words, index) => native.futexWake(words, index),
    })
  }

  get chunks(): Iterable<Buffer> {
    return this.#chunks()
  }

  /** @throws {FeedUnsupportedError} before the first chunk. @throws {NativeError} */
  *#chunks(): Generator<Buffer, void, undefined> {
    const feed = this.#start()
    if (feed === undefined) throw new FeedUnsupportedError()
    this.#feed = feed
    for (const chunk of this.#ring.chunks()) {
      if (this.#ring.isInflated) this.#diffHash.update(chunk)
      yield chunk
    }
    this.#finish(feed)
  }

  #start(): LayerFeed | undefined {
    const { control, data } = this.#memory
    const source = this.#source
    const words = [new Int32Array(control), new Uint8Array(data)] as const
    if (source.kind === 'growing') {
      return this.#native.startFeed(source.handle.fd, ...words, new Int32Array(source.handle.shared))
    }
    const { AT_FDCWD, O_RDONLY } = this.#native.fsConstants
    this.#ownFd = this.#native.openat2(AT_FDCWD, source.path, { flags: O_RDONLY })
    return this.#native.startFeed(this.#ownFd, ...words, undefined)
  }

  summary(): LayerSummary {
    const { digest, bytes } = this.#finish(this.#feed as LayerFeed)
    const diffId = this.#ring.isInflated ? `sha256:${this.#diffHash.digest('hex')}` : digest
    return { digest, diffId, compressedBytes: bytes }
  }

  /** Ends the thread, and closes what was opened. May be called at any time. */
  close(): void {
    try {
      this.#ring.close()
      if (this.#feed !== undefined) this.#native.finishFeed(this.#feed)
    } catch {
      // A file that could not be read: whoever wanted the layer knows.
    } finally {
      if (this.#ownFd !== undefined) this.#native.close(this.#ownFd)
    }
  }

  #finish(feed: LayerFeed): LayerFeedEnd {
    if (this.#end !== undefined) return this.#end
    const end = this.#native.finishFeed(feed)
    switch (end.status) {
      case 'whole':
        this.#end = end
        return end
      case 'unsupported':
        throw new FeedUnsupportedError()
      case 'damaged':
        throw new LayerError(this.#layer, undefined, 'its gzip stream is damaged or truncated')
      case 'short':
        throw brokenDownload('is shorter than it was said to be')
      case 'given-up':
        throw brokenDownload('was given up')
      case 'undigested':
        throw new WherryError(`The digest of layer ${this.#layer} could not be made.`, { code: 'ERR_DIGEST' })
      case 'stopped':
        throw stopped()
    }
  }
}
