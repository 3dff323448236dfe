// SPDX-License-Identifier: MIT
import { Decompress } from 'fzstd'

/** A frame that needs a larger window is refused: it is what decompression takes in memory. `zstd --long` uses as much. */
const kMaxWindowBytes = 128 * 1024 * 1024
const kMaxHeaderBytes = 18

type State = 'header' | 'block-header' | 'copy'

/**
 * Decodes a stream of zstd frames, one after the other, each by a decoder of its own: a stream may hold tens of thousands
 * (zstd:chunked has one for every file), and each is looked at before memory is set aside for it.
 *
 * @source RFC 8878, section 3.1
 */
export class ZstdDecoder {
  #frame: Decompress | undefined
  #output: Buffer[] = []
  #state: State = 'header'
  readonly #head = Buffer.alloc(kMaxHeaderBytes)
  #headFill = 0
  #left = 0
  #isLastBlock = false
  #isSkippable = false
  #checksumBytes = 0

  /** Decodes what `chunk` completes. @throws {Error} on damage. */
  push(chunk: Buffer): void {
    let at = 0
    let from = 0 // start of the bytes of the present frame that its decoder has not seen
    // An empty last block ends its frame without another byte.
    while (at < chunk.length || (this.#state === 'copy' && this.#left === 0)) {
      if (this.#state === 'copy') {
        const count = Math.min(this.#left, chunk.length - at)
        at += count
        this.#left -= count
        if (this.#left === 0 && this.#afterCopy()) {
          this.#feed(chunk.subarray(from, at), true)
          from = at
        }
        continue
      }
      this.#head[this.#headFill++] = chunk[at++] as number
      if (this.#state === 'block-header') this.#onBlockHeader()
      else this.#onHeader()
    }
    this.#feed(chunk.subarray(from), false)
  }

  /** @throws {Error} when the stream stops within a frame. */
  end(): void {
    if (this.#state !== 'header' || this.#headFill > 0) throw new Error('the zstd stream is truncated')
  }

  /** Hands over what was decoded since the last call. */
  take(): Buffer[] {
    const output = this.#output
    this.#output = []
    return output
  }

  #feed(bytes: Buffer, isLast: boolean): void {
    if (!this.#isSkippable && (bytes.length > 0 || isLast)) {
      this.#frame ??= new Decompress((data) => {
        if (data.length > 0) this.#output.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
      })
      // A copy: the decoder keeps what it cannot use yet, and the chunk may be reused.
      this.#frame.push(Buffer.from(bytes), isLast)
    }
    if (isLast) {
      this.#frame = undefined
      this.#isSkippable = false
    }
  }

  #onHeader(): void {
    const fill = this.#headFill
    if (fill < 5) return
    const magic = this.#head.readUInt32LE(0)
    if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) {
      if (fill < 8) return
      this.#isSkippable = true
      this.#copy(this.#head.readUInt32LE(4), true, 0)
      return
    }
    if (magic !== 0xfd2fb528) throw new Error('not a zstd frame')
    const flags = this.#head[4] as number
    const isSingle = (flags & 0x20) !== 0
    const dictionaryBytes = [0, 1, 2, 4][flags & 3] as number
    const sizeFlag = flags >> 6
    const sizeBytes = sizeFlag === 0 ? (isSingle ? 1 : 0) : 1 << sizeFlag
    const sizeAt = 5 + (isSingle ? 0 : 1) + dictionaryBytes
    if (fill < sizeAt + sizeBytes) return
    const window = isSingle ? this.#contentSize(sizeAt, sizeBytes) : this.#windowSize()
    if (window > kMaxWindowBytes) throw new Error('the zstd window is too large')
    this.#checksumBytes = (flags & 4) === 0 ? 0 : 4
    this.#state = 'block-header'
    this.#headFill = 0
  }

  #contentSize(at: number, bytes: number): number {
    if (bytes === 8) return Number(this.#head.readBigUInt64LE(at))
    return this.#head.readUIntLE(at, bytes) + (bytes === 2 ? 256 : 0)
  }

  #windowSize(): number {
    const descriptor = this.#head[5] as number
    const base = 2 ** (10 + (descriptor >> 3))
    return base + (base / 8) * (descriptor & 7)
  }

  #onBlockHeader(): void {
    if (this.#headFill < 3) return
    const header = this.#head.readUIntLE(0, 3)
    const isRepeated = ((header >> 1) & 3) === 1
    this.#copy(isRepeated ? 1 : header >> 3, (header & 1) !== 0, this.#checksumBytes)
  }

  #copy(bytes: number, isLast: boolean, thenBytes: number): void {
    this.#headFill = 0
    this.#isLastBlock = isLast
    this.#left = bytes + (isLast ? thenBytes : 0)
    this.#state = 'copy'
  }

  /** @returns whether the frame is complete. */
  #afterCopy(): boolean {
    this.#state = this.#isLastBlock ? 'header' : 'block-header'
    return this.#isLastBlock
  }
}
