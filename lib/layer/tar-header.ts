// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import { type ByteString, toDisplay } from './byte-string.ts'

/** Bytes in one tar block. */
export const kBlockBytes = 512

/** Seconds and nanoseconds since the epoch; seconds may be negative, nanoseconds never are. */
export type TarTime = readonly [seconds: number, nanoseconds: number]

/** One header block as it stands, before PAX and GNU records are applied. */
export interface TarHeader {
  name: ByteString
  linkName: ByteString
  typeFlag: string
  /** Permission bits, at most 0o7777. */
  mode: number
  uid: number
  gid: number
  sizeBytes: number
  mtime: TarTime
  deviceMajor: number
  deviceMinor: number
}

/** Whether the block at `at` is all zero. */
export function isZeroBlock(block: Buffer, at: number): boolean {
  for (let i = at; i < at + kBlockBytes; i++) if (block[i] !== 0) return false
  return true
}

/**
 * Reads the header block at `at`, of the v7, ustar, star or GNU kind.
 *
 * @throws {LayerError} when the checksum is wrong or a field is no number.
 * @source POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"
 */
export function parseHeader(block: Buffer, at: number, layer: string): TarHeader {
  if (!hasGoodChecksum(block, at)) throw new LayerError(layer, undefined, 'a header has a wrong checksum')
  const name = headerName(block, at)
  const number = (offset: number, length: number, field: string): number => {
    const value = parseNumber(block, at + offset, length)
    if (Number.isSafeInteger(value)) return value
    throw new LayerError(layer, toDisplay(name), `the header's ${field} is not a number, or out of range`)
  }
  const typeFlag = String.fromCharCode(block[at + 156] as number)
  const isDevice = typeFlag === '3' || typeFlag === '4'
  return {
    name,
    linkName: cString(block, at + 157, 100),
    typeFlag,
    mode: number(100, 8, 'mode') & 0o7777,
    uid: number(108, 8, 'owner'),
    gid: number(116, 8, 'group'),
    sizeBytes: number(124, 12, 'size'),
    mtime: [number(136, 12, 'time'), 0],
    // Other kinds of entries carry anything here.
    deviceMajor: isDevice ? number(329, 8, 'device number') : 0,
    deviceMinor: isDevice ? number(337, 8, 'device number') : 0,
  }
}

function headerName(block: Buffer, at: number): ByteString {
  const name = cString(block, at, 100)
  // "ustar\0": POSIX. GNU's "ustar  " uses the prefix field for other things, v7 has none.
  if (block.toString('latin1', at + 257, at + 263) !== 'ustar\0') return name
  const isStar = block.toString('latin1', at + 508, at + 512) === 'tar\0'
  const prefix = cString(block, at + 345, isStar ? 131 : 155)
  return prefix === '' ? name : `${prefix}/${name}`
}

/** The bytes up to the first NUL, at most `length`. */
export function cString(block: Buffer, at: number, length: number): ByteString {
  let end = at
  while (end < at + length && block[end] !== 0) end++
  return block.toString('latin1', at, end)
}

function hasGoodChecksum(block: Buffer, at: number): boolean {
  const wanted = parseNumber(block, at + 148, 8)
  let sum = 8 * 32 // the checksum field itself counts as spaces
  for (let i = at; i < at + 148; i++) sum += block[i] as number
  for (let i = at + 156; i < at + kBlockBytes; i++) sum += block[i] as number
  if (sum === wanted) return true
  // Some old writers added signed chars.
  for (let i = at; i < at + kBlockBytes; i++) {
    if ((i < at + 148 || i >= at + 156) && (block[i] as number) > 127) sum -= 256
  }
  return sum === wanted
}

/**
 * Reads a numeric field: octal digits between blanks and NULs, or GNU's base-256 with the top bit set.
 *
 * @returns NaN when it is neither; a value beyond 2⁵³ is not a safe integer.
 */
export function parseNumber(block: Buffer, at: number, length: number): number {
  const first = block[at] as number
  if ((first & 0x80) !== 0) return parseBase256(block, at, length)
  let i = at
  const end = at + length
  while (i < end && (block[i] === 0x20 || block[i] === 0)) i++
  let value = 0
  for (; i < end; i++) {
    const digit = (block[i] as number) - 0x30
    if (digit < 0 || digit > 7) break
    value = value * 8 + digit
  }
  for (; i < end; i++) if (block[i] !== 0x20 && block[i] !== 0) return Number.NaN
  return value
}

function parseBase256(block: Buffer, at: number, length: number): number {
  const first = block[at] as number
  const negative = (first & 0x40) !== 0
  // Two's complement of length * 8 - 1 bits; sign-extend by starting from the top bits.
  let value = negative ? (first & 0x7f) - 0x80 : first & 0x3f
  for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] as number)
  return value
}
