// SPDX-License-Identifier: MIT
import { createHash } from 'node:crypto'
import { type Compression, decompress, detectCompression } from './compression.ts'

/** What the bytes of a layer turned out to be. */
export interface LayerSummary {
  /** Of the bytes as they came: `sha256:…`. */
  digest: string
  /** Of the archive, uncompressed: `sha256:…`. */
  diffId: string
  compressedBytes: number
}

/** Hashes a layer's bytes as they come, decompresses them, and hashes them again. */
export class LayerDecoder {
  readonly #layer: string
  readonly #iterator: AsyncIterator<Buffer>
  readonly #rawHash = createHash('sha256')
  #diffHash: ReturnType<typeof createHash> | undefined
  #compressedBytes = 0
  #compression: Compression | undefined

  /**
   * @param source is read to its end. A chunk must stay as it is until the next is asked for, and longer when
   *   {@link isCompressed} is not false: the decompressor may not be done with it.
   */
  constructor(source: AsyncIterable<Buffer>, layer: string) {
    this.#iterator = source[Symbol.asyncIterator]()
    this.#layer = layer
  }

  /** `undefined` until the first bytes have been seen. */
  get isCompressed(): boolean | undefined {
    return this.#compression === undefined ? undefined : this.#compression !== 'none'
  }

  /** The archive. A chunk is good only until the next one is asked for. @throws {LayerError} on damage. */
  async *chunks(): AsyncGenerator<Buffer> {
    try {
      const head = await this.#head()
      this.#compression = detectCompression(head)
      if (!this.isCompressed) {
        yield* this.#raw(head)
        return
      }
      const diffHash = createHash('sha256')
      for await (const chunk of decompress(this.#raw(head), this.#compression, this.#layer)) {
        // After the yield: by then another thread has begun to work on it.
        yield chunk
        diffHash.update(chunk)
      }
      this.#diffHash = diffHash
    } finally {
      await this.#iterator.return?.()
    }
  }

  /** To be asked for once, when {@link chunks} has come to its end. */
  summary(): LayerSummary {
    const digest = `sha256:${this.#rawHash.digest('hex')}`
    const diffId = this.#diffHash === undefined ? digest : `sha256:${this.#diffHash.digest('hex')}`
    return { digest, diffId, compressedBytes: this.#compressedBytes }
  }

  async #head(): Promise<Buffer> {
    let head: Buffer = Buffer.alloc(0)
    while (head.length < 4) {
      const next = await this.#iterator.next()
      if (next.done === true) break
      const isEnough = head.length === 0 && next.value.length >= 4
      head = isEnough ? next.value : Buffer.concat([head, next.value])
    }
    return head
  }

  async *#raw(head: Buffer): AsyncGenerator<Buffer> {
    for (let chunk = head; chunk.length > 0; ) {
      this.#compressedBytes += chunk.length
      yield chunk
      this.#rawHash.update(chunk)
      const next = await this.#iterator.next()
      if (next.done === true) return
      chunk = next.value
    }
  }
}
