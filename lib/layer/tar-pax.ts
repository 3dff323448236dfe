// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import type { ByteString } from './byte-string.ts'
import type { TarTime } from './tar-header.ts'

/** What PAX records say about an entry; a field that no record names is absent. */
export interface PaxFields {
  path?: ByteString
  linkPath?: ByteString
  sizeBytes?: number
  uid?: number
  gid?: number
  mtime?: TarTime
  xattrs?: Map<string, Buffer>
  sparse?: PaxSparse
}

/** GNU.sparse.* records of the three versions of the format. */
export interface PaxSparse {
  major?: string
  minor?: string
  name?: ByteString
  realSizeBytes?: number
  /** offset, length, offset, length, … */
  map?: number[]
}

const kXattrPrefix = 'SCHILY.xattr.'
const kLibarchivePrefix = 'LIBARCHIVE.xattr.'
const kSparsePrefix = 'GNU.sparse.'

/**
 * Reads the records of one PAX header and lays them over `into`.
 *
 * @throws {LayerError} on a record that is not `<length> <key>=<value>\n`, or whose value makes no sense for its key.
 * @source POSIX.1-2017 pax, "pax Extended Header"
 */
export function parsePax(body: Buffer, into: PaxFields, layer: string): void {
  let at = 0
  while (at < body.length) {
    // GNU tar pads with NULs where it guessed the length wrong.
    if (body[at] === 0) break
    const record = nextRecord(body, at)
    if (record === undefined) throw new LayerError(layer, undefined, 'a PAX header has a malformed record')
    if (!applyRecord(record.key, record.value, into)) {
      throw new LayerError(
        layer,
        undefined,
        `the PAX record ${JSON.stringify(record.key.slice(0, 80))} has a bad value`,
      )
    }
    at = record.end
  }
}

function nextRecord(body: Buffer, at: number): { key: string; value: Buffer; end: number } | undefined {
  let length = 0
  let i = at
  for (; i < body.length && i < at + 10; i++) {
    const digit = (body[i] as number) - 0x30
    if (digit < 0 || digit > 9) break
    length = length * 10 + digit
  }
  const end = at + length
  if (i === at || body[i] !== 0x20 || end > body.length || end <= i + 1 || body[end - 1] !== 0x0a) return undefined
  const equals = body.indexOf(0x3d, i + 1)
  if (equals < 0 || equals >= end || equals === i + 1) return undefined
  return { key: body.toString('latin1', i + 1, equals), value: body.subarray(equals + 1, end - 1), end }
}

function applyRecord(key: string, value: Buffer, into: PaxFields): boolean {
  switch (key) {
    case 'path':
    case 'linkpath':
      return applyPath(key === 'path' ? 'path' : 'linkPath', value, into)
    case 'size':
      return applyNumber('sizeBytes', value, into)
    case 'uid':
    case 'gid':
      return applyNumber(key, value, into)
    case 'mtime': {
      if (value.length === 0) return delete into.mtime
      const time = parseTime(value.toString('latin1'))
      if (time !== undefined) into.mtime = time
      return time !== undefined
    }
  }
  if (key.startsWith(kSparsePrefix)) return applySparse(key.slice(kSparsePrefix.length), value, into)
  if (key.startsWith(kXattrPrefix)) return applyXattr(utf8(key.slice(kXattrPrefix.length)), Buffer.from(value), into)
  if (key.startsWith(kLibarchivePrefix)) return applyLibarchive(key.slice(kLibarchivePrefix.length), value, into)
  return true
}

function applyPath(field: 'path' | 'linkPath', value: Buffer, into: PaxFields): boolean {
  if (value.length === 0) return delete into[field]
  if (value.includes(0)) return false
  into[field] = value.toString('latin1')
  return true
}

function applyNumber(field: 'sizeBytes' | 'uid' | 'gid', value: Buffer, into: PaxFields): boolean {
  if (value.length === 0) return delete into[field]
  const number = parseDecimal(value.toString('latin1'))
  if (Number.isNaN(number)) return false
  into[field] = number
  return true
}

function parseDecimal(text: string): number {
  if (!/^[0-9]{1,20}$/.test(text)) return Number.NaN
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : Number.NaN
}

function parseTime(text: string): TarTime | undefined {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]{0,40}))?$/.exec(text)
  if (match === null) return undefined
  const seconds = Number(match[2])
  const nanos = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'))
  if (match[1] === '') return [seconds, nanos]
  return nanos === 0 ? [0 - seconds, 0] : [-seconds - 1, 1_000_000_000 - nanos]
}

function applySparse(key: string, value: Buffer, into: PaxFields): boolean {
  into.sparse ??= {}
  const sparse = into.sparse
  const text = value.toString('latin1')
  switch (key) {
    case 'major':
    case 'minor':
      sparse[key] = text
      return true
    case 'name':
      if (value.includes(0) || value.length === 0) return false
      sparse.name = text
      return true
    case 'size':
    case 'realsize':
      sparse.realSizeBytes = parseDecimal(text)
      return !Number.isNaN(sparse.realSizeBytes)
    case 'offset':
    case 'numbytes': {
      sparse.map ??= []
      const map = sparse.map
      const number = parseDecimal(text)
      if (Number.isNaN(number) || map.length % 2 !== (key === 'offset' ? 0 : 1)) return false
      map.push(number)
      return true
    }
    case 'map': {
      const numbers = text === '' ? [] : text.split(',').map(parseDecimal)
      if (numbers.length % 2 !== 0 || numbers.some(Number.isNaN)) return false
      sparse.map = numbers
      return true
    }
  }
  return true // numblocks: the map says it too
}

function applyXattr(name: string, value: Buffer, into: PaxFields): boolean {
  if (name === '' || name.includes('\0')) return false
  into.xattrs ??= new Map()
  into.xattrs.set(name, value)
  return true
}

function applyLibarchive(encodedName: string, value: Buffer, into: PaxFields): boolean {
  const name = utf8(
    encodedName.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  )
  // libarchive writes both forms; the raw one needs no decoding and goes first.
  if (into.xattrs?.has(name) === true) return true
  return applyXattr(name, Buffer.from(value.toString('latin1'), 'base64'), into)
}

function utf8(bytes: ByteString): string {
  return Buffer.from(bytes, 'latin1').toString('utf8')
}
