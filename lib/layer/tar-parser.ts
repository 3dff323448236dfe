// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import { type ByteString, toDisplay } from './byte-string.ts'
import { entryOf, type TarEntry, type TarHandler } from './tar-entry.ts'
import { cString, isZeroBlock, kBlockBytes, parseHeader, parseNumber, type TarHeader } from './tar-header.ts'
import { type PaxFields, parsePax } from './tar-pax.ts'
import { checkSparseMap, readGnuPieces, type SparseMap, SparseMapReader } from './tar-sparse.ts'

/** A PAX header or a GNU long name of more bytes than this is refused. */
export const kMaxMetaBytes = 1024 * 1024
/** More PAX and long-name headers than this before one entry are refused. */
const kMaxMetaHeaders = 16

type State = 'header' | 'meta' | 'gnu-sparse' | 'sparse-map' | 'data' | 'padding' | 'end'

/**
 * Parses a tar archive from chunks of any size, in memory that does not depend on the archive.
 *
 * Reads v7, ustar, star, GNU (long names, base-256, sparse) and PAX (global and local, sparse 0.0, 0.1 and 1.0, extended
 * attributes of star and libarchive). Throws nothing but {@link LayerError}, unless the handler does; after a throw the
 * parser is of no more use.
 */
export class TarParser {
  readonly #layer: string
  readonly #handler: TarHandler
  readonly #maxTrailingBytes: number
  readonly #block = Buffer.alloc(kBlockBytes)
  #blockFill = 0
  #state: State = 'header'
  #zeroBlocks = 0
  #entries = 0
  #trailingBytes = 0

  readonly #global: PaxFields = {}
  #local: PaxFields | undefined
  #longName: ByteString | undefined
  #longLink: ByteString | undefined
  #metaHeaders = 0
  #pendingHeaders = 0
  #metaType = ''
  #meta = Buffer.alloc(0)
  #metaFill = 0

  #entry: TarEntry | undefined
  #remaining = 0 // of the body
  #padding = 0
  #position = 0
  #map: SparseMap | undefined
  #mapIndex = 0
  #gnuMap: number[] = []
  #mapReader: SparseMapReader | undefined

  /** @param options.maxTrailingBytes bytes allowed after the end mark. @default 2⁵³ */
  constructor(layer: string, handler: TarHandler, options: { maxTrailingBytes?: number } = {}) {
    this.#layer = layer
    this.#handler = handler
    this.#maxTrailingBytes = options.maxTrailingBytes ?? Number.MAX_SAFE_INTEGER
  }

  /** Takes the next bytes of the archive. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      switch (this.#state) {
        case 'data':
          at = this.#takeData(chunk, at)
          break
        case 'padding':
          at = this.#takePadding(chunk, at)
          break
        case 'meta':
          at = this.#takeMeta(chunk, at)
          break
        case 'end':
          this.#takeTrailing(chunk.length - at)
          return
        default:
          at = this.#takeBlock(chunk, at)
      }
    }
  }

  /**
   * Says that there is no more. The two zero blocks at the end may be missing, as some writers leave them out, and so may
   * the padding of the last entry (`umoci insert` of 0.4.7; GNU tar and Docker read that too).
   *
   * @throws {LayerError} when the archive stops in the middle of something, or was empty.
   */
  end(): void {
    const isBetween = this.#state === 'padding' || (this.#state === 'header' && this.#blockFill === 0)
    const isWhole = this.#state === 'end' || (isBetween && this.#pendingHeaders === 0)
    if (isWhole && (this.#entries > 0 || this.#zeroBlocks > 0)) return
    throw this.#error('the archive is truncated')
  }

  #error(reason: string): LayerError {
    return new LayerError(this.#layer, this.#entry === undefined ? undefined : toDisplay(this.#entry.path), reason)
  }

  #takeBlock(chunk: Buffer, at: number): number {
    if (this.#blockFill === 0 && chunk.length - at >= kBlockBytes) {
      this.#onBlock(chunk, at)
      return at + kBlockBytes
    }
    const count = Math.min(kBlockBytes - this.#blockFill, chunk.length - at)
    chunk.copy(this.#block, this.#blockFill, at, at + count)
    this.#blockFill += count
    if (this.#blockFill === kBlockBytes) {
      this.#blockFill = 0
      this.#onBlock(this.#block, 0)
    }
    return at + count
  }

  #onBlock(block: Buffer, at: number): void {
    if (this.#state === 'gnu-sparse') this.#onGnuSparse(block, at)
    else if (this.#state === 'sparse-map') this.#onSparseMap(block, at)
    else this.#onHeader(block, at)
  }

  #onHeader(block: Buffer, at: number): void {
    if (block[at] === 0 && isZeroBlock(block, at)) {
      if (this.#pendingHeaders > 0) throw this.#error('a PAX or long-name header has no entry after it')
      if (++this.#zeroBlocks === 2) this.#state = 'end'
      return
    }
    if (this.#zeroBlocks > 0) throw this.#error('an entry follows the end mark')
    const header = parseHeader(block, at, this.#layer)
    if (header.sizeBytes < 0) throw new LayerError(this.#layer, toDisplay(header.name), 'its size is negative')
    const isMeta = 'gxXLKV'.includes(header.typeFlag)
    if (!isMeta) this.#startEntry(header, block, at)
    else if (++this.#metaHeaders > kMaxMetaHeaders)
      throw this.#error('too many PAX or long-name headers before one entry')
    else this.#startMeta(header)
  }

  #startMeta(header: TarHeader): void {
    if (header.sizeBytes > kMaxMetaBytes) throw this.#error('a PAX or long-name header is larger than 1 MiB')
    // A global header belongs to no entry, so that it may stand last.
    if (header.typeFlag !== 'g' && header.typeFlag !== 'V') this.#pendingHeaders++
    this.#metaType = header.typeFlag
    this.#meta = Buffer.allocUnsafe(header.sizeBytes)
    this.#metaFill = 0
    this.#startBody(header.sizeBytes, 'meta')
    if (header.sizeBytes === 0) this.#onMeta()
  }

  #takeMeta(chunk: Buffer, at: number): number {
    const count = Math.min(this.#remaining, chunk.length - at)
    chunk.copy(this.#meta, this.#metaFill, at, at + count)
    this.#metaFill += count
    this.#remaining -= count
    if (this.#remaining === 0) {
      this.#state = this.#padding > 0 ? 'padding' : 'header'
      this.#onMeta()
    }
    return at + count
  }

  #onMeta(): void {
    switch (this.#metaType) {
      case 'L':
        this.#longName = cString(this.#meta, 0, this.#meta.length)
        break
      case 'K':
        this.#longLink = cString(this.#meta, 0, this.#meta.length)
        break
      case 'V': // a volume's label
        break
      case 'g':
        parsePax(this.#meta, this.#global, this.#layer)
        break
      default:
        this.#local ??= {}
        parsePax(this.#meta, this.#local, this.#layer)
    }
    this.#meta = Buffer.alloc(0)
  }

  #startEntry(header: TarHeader, block: Buffer, at: number): void {
    const local = this.#local ?? {}
    const entry = entryOf(header, {
      layer: this.#layer,
      global: this.#global,
      local,
      longName: this.#longName,
      longLink: this.#longLink,
    })
    this.#entry = entry
    this.#entries++
    this.#forgetRecords()
    if (entry.path.includes('\0')) throw this.#error('its name has a NUL byte')
    if (entry.sizeBytes < 0) throw this.#error('its size is negative')
    const hasBody = entry.type === 'file' || header.typeFlag === 'D'
    const body = hasBody ? (local.sizeBytes ?? this.#global.sizeBytes ?? header.sizeBytes) : 0
    if (entry.type !== 'file') {
      entry.sizeBytes = body
      this.#announce(body)
    } else if (header.typeFlag === 'S') {
      this.#startGnuSparse(block, at, body)
    } else if (local.sparse !== undefined) {
      this.#startPaxSparse(local.sparse, body)
    } else {
      entry.sizeBytes = body
      this.#announce(body)
    }
  }

  #forgetRecords(): void {
    this.#local = undefined
    this.#longName = undefined
    this.#longLink = undefined
    this.#metaHeaders = 0
    this.#pendingHeaders = 0
    this.#map = undefined
    this.#mapIndex = 0
    this.#position = 0
  }

  #startGnuSparse(block: Buffer, at: number, body: number): void {
    const entry = this.#entry as TarEntry
    entry.isSparse = true
    entry.sizeBytes = parseNumber(block, at + 483, 12)
    if (!Number.isSafeInteger(entry.sizeBytes) || entry.sizeBytes < 0)
      throw this.#error('its real size is not a number')
    this.#gnuMap = []
    if (!readGnuPieces(block, at + 386, 4, this.#gnuMap)) throw this.#error('its sparse map is malformed')
    this.#remaining = body
    this.#padding = paddingOf(body)
    if (block[at + 482] === 0) this.#sparseReady(this.#gnuMap)
    else this.#state = 'gnu-sparse'
  }

  #onGnuSparse(block: Buffer, at: number): void {
    if (!readGnuPieces(block, at, 21, this.#gnuMap)) throw this.#error('its sparse map is malformed')
    if (block[at + 504] === 0) this.#sparseReady(this.#gnuMap)
  }

  #startPaxSparse(sparse: NonNullable<PaxFields['sparse']>, body: number): void {
    const entry = this.#entry as TarEntry
    entry.isSparse = true
    entry.sizeBytes = sparse.realSizeBytes ?? Number.NaN
    if (Number.isNaN(entry.sizeBytes)) throw this.#error('its sparse records give no real size')
    this.#remaining = body
    this.#padding = paddingOf(body)
    if (sparse.major === '1' && sparse.minor === '0') {
      if (body < kBlockBytes) throw this.#error('its sparse map is missing')
      this.#mapReader = new SparseMapReader()
      this.#state = 'sparse-map'
    } else if (sparse.major === undefined || sparse.major === '0') {
      this.#sparseReady(sparse.map ?? [])
    } else {
      throw this.#error('its version of the sparse format is not supported')
    }
  }

  #onSparseMap(block: Buffer, at: number): void {
    const reader = this.#mapReader as SparseMapReader
    const result = reader.block(block, at)
    this.#remaining -= kBlockBytes
    if (result === 'bad' || this.#remaining < 0 || (result === 'more' && this.#remaining < kBlockBytes)) {
      throw this.#error('its sparse map is malformed')
    }
    if (result === 'done') this.#sparseReady(reader.map)
  }

  #sparseReady(map: SparseMap): void {
    const entry = this.#entry as TarEntry
    const fault = checkSparseMap(map, entry.sizeBytes, this.#remaining)
    if (fault !== undefined) throw this.#error(fault)
    this.#map = map
    this.#announce(this.#remaining)
  }

  #announce(body: number): void {
    this.#startBody(body, 'data')
    this.#handler.entry(this.#entry as TarEntry)
    if (body === 0) this.#finishEntry()
  }

  #startBody(bytes: number, state: 'data' | 'meta'): void {
    this.#remaining = bytes
    this.#padding = paddingOf(bytes)
    this.#state = bytes > 0 ? state : 'header'
  }

  #takeData(chunk: Buffer, at: number): number {
    const count = Math.min(this.#remaining, chunk.length - at)
    const end = at + count
    if (this.#map !== undefined) this.#emitPieces(chunk, at, end)
    else if (this.#entry?.type === 'file') {
      this.#handler.data(chunk, at, end, this.#position)
      this.#position += count
    }
    this.#remaining -= count
    if (this.#remaining === 0) this.#finishEntry()
    return end
  }

  /** Here `#position` counts within the present piece. */
  #emitPieces(chunk: Buffer, at: number, end: number): void {
    const map = this.#map as SparseMap
    while (at < end) {
      const offset = map[this.#mapIndex] as number
      const left = (map[this.#mapIndex + 1] as number) - this.#position
      const count = Math.min(left, end - at)
      if (count > 0) this.#handler.data(chunk, at, at + count, offset + this.#position)
      at += count
      this.#position += count
      if (count === left) {
        this.#mapIndex += 2
        this.#position = 0
      }
    }
  }

  #finishEntry(): void {
    this.#state = this.#padding > 0 ? 'padding' : 'header'
    if (this.#entry === undefined) return
    this.#handler.entryEnd()
    this.#entry = undefined
  }

  #takePadding(chunk: Buffer, at: number): number {
    const count = Math.min(this.#padding, chunk.length - at)
    this.#padding -= count
    if (this.#padding === 0) this.#state = 'header'
    return at + count
  }

  #takeTrailing(count: number): void {
    this.#trailingBytes += count
    if (this.#trailingBytes > this.#maxTrailingBytes) throw this.#error('too many bytes follow the end mark')
  }
}

function paddingOf(bytes: number): number {
  return (kBlockBytes - (bytes % kBlockBytes)) % kBlockBytes
}
