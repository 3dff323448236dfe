// SPDX-License-Identifier: MIT
import zlib from 'node:zlib'

const kPolynomial = 0xedb88320

/** The checksum of gzip, over any number of chunks: node:zlib's, or our own where Node is older than 20.15. */
export class Crc32 {
  readonly #update: (bytes: Uint8Array, value: number) => number
  #value = 0

  constructor(update = (zlib as { crc32?: (bytes: Uint8Array, value: number) => number }).crc32) {
    this.#update = update ?? tableCrc32()
  }

  get value(): number {
    return this.#value
  }

  update(bytes: Uint8Array): void {
    this.#value = this.#update(bytes, this.#value)
  }
}

/** @source RFC 1952, section 8 */
export function tableCrc32(): (bytes: Uint8Array, value: number) => number {
  const table = Int32Array.from({ length: 256 }, (_, byte) => {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ kPolynomial
    return value
  })
  return (bytes, start) => {
    let value = ~start
    for (let i = 0; i < bytes.length; i++) {
      value = (table[(value ^ (bytes[i] as number)) & 0xff] as number) ^ (value >>> 8)
    }
    return ~value >>> 0
  }
}
