// SPDX-License-Identifier: MIT
import { kBlockBytes, parseNumber } from './tar-header.ts'

/** More pieces than this in one sparse file are refused. */
export const kMaxSparsePieces = 1_000_000

/** Where the bytes of a sparse entry's body belong: offset, length, offset, length, … in ascending order. */
export type SparseMap = readonly number[]

/** @returns what is wrong with a map, or `undefined`. The pieces must lie in order within the file and fill the body. */
export function checkSparseMap(map: SparseMap, realSizeBytes: number, bodyBytes: number): string | undefined {
  let end = 0
  let total = 0
  for (let i = 0; i < map.length; i += 2) {
    const offset = map[i] as number
    const length = map[i + 1] as number
    if (!(offset >= end && length >= 0 && offset + length <= realSizeBytes)) return 'its sparse map is out of order'
    end = offset + length
    total += length
  }
  return total === bodyBytes ? undefined : 'its sparse map does not fit its size'
}

/**
 * Adds the pieces of an old GNU sparse table (24 bytes each) to `map`.
 *
 * @returns false when a field is no number or there are too many.
 */
export function readGnuPieces(block: Buffer, at: number, count: number, map: number[]): boolean {
  for (let i = at; i < at + count * 24; i += 24) {
    const offset = parseNumber(block, i, 12)
    const length = parseNumber(block, i + 12, 12)
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || map.length >= kMaxSparsePieces * 2)
      return false
    // Unused places are empty. A piece of length 0 at the file's end is how the format says the size.
    if (length > 0) map.push(offset, length)
  }
  return true
}

/** Reads the decimal map at the start of a PAX 1.0 sparse body, block by block. */
export class SparseMapReader {
  readonly map: number[] = []
  #pieces = -1
  #value = 0
  #digits = 0

  /** @returns whether the map ended in this block (`'more'`: it goes on), `'bad'` when it is malformed. */
  block(bytes: Buffer, at: number): 'done' | 'more' | 'bad' {
    for (let i = at; i < at + kBlockBytes; i++) {
      const byte = bytes[i] as number
      if (byte !== 0x0a) {
        if (byte < 0x30 || byte > 0x39 || ++this.#digits > 16) return 'bad'
        this.#value = this.#value * 10 + byte - 0x30
        continue
      }
      if (this.#digits === 0) return 'bad'
      if (this.#pieces < 0) {
        this.#pieces = this.#value
        if (this.#pieces > kMaxSparsePieces) return 'bad'
      } else {
        this.map.push(this.#value)
      }
      this.#value = 0
      this.#digits = 0
      if (this.map.length === this.#pieces * 2) return 'done'
    }
    return 'more'
  }
}
