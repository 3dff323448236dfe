// SPDX-License-Identifier: MIT
import type { ByteString } from './byte-string.ts'
import { kBlockBytes } from './tar-header.ts'

const kNameBytes = 100
const kPrefixBytes = 155
/** The most that seven octal digits hold. */
const kMaxId = 8 ** 7 - 1
/** The most that eleven octal digits hold: 8 GiB less one byte, or a moment in the year 2242. */
const kMaxOctal = 8 ** 11 - 1
const kChecksumAt = 148

/** The flags of the kinds of members that are written. */
export type TarTypeFlag = '0' | '1' | '2' | '3' | '4' | '5' | '6'

/** One member of an archive, without its content. Names are bytes; a directory's ends in a slash. */
export interface PackHeader {
  path: ByteString
  linkPath: ByteString
  typeFlag: TarTypeFlag
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  sizeBytes: number
  /** Since the epoch; may be negative. */
  seconds: number
  nanoseconds: number
  deviceMajor: number
  deviceMinor: number
  /** In the order in which they are written. Names are byte strings. */
  xattrs: readonly (readonly [name: ByteString, value: Buffer])[]
}

/**
 * Writes a member's header: one ustar block, with a PAX header before it where the block has no room. Nothing enters it
 * that is not in `header`, so that equal headers give equal bytes: no names of users, no process id, no times of access.
 *
 * @source POSIX.1-2024, pax, "ustar Interchange Format" and "pax Interchange Format"
 */
export function encodeHeader(header: PackHeader): Buffer {
  const { path, linkPath, uid, gid, sizeBytes, seconds } = header
  const split = splitName(path)
  const records = paxRecords(header, split === undefined)
  const paxBytes = records === undefined ? 0 : kBlockBytes + roundUp(records.length)
  const bytes = Buffer.alloc(paxBytes + kBlockBytes)
  if (records !== undefined) {
    const name = 'PaxHeaders/entry'
    writeBlock(bytes, 0, { name, prefix: '', link: '', flag: 'x', mode: 0o644, sizeBytes: records.length })
    bytes.write(records, kBlockBytes, 'latin1')
  }
  writeBlock(bytes, paxBytes, {
    name: split?.name ?? path,
    prefix: split?.prefix ?? '',
    link: linkPath,
    flag: header.typeFlag,
    mode: header.mode,
    // What does not fit stands in a record, which wins.
    uid: Math.min(uid, kMaxId),
    gid: Math.min(gid, kMaxId),
    sizeBytes: Math.min(sizeBytes, kMaxOctal),
    seconds: Math.min(Math.max(seconds, 0), kMaxOctal),
    deviceMajor: header.deviceMajor,
    deviceMinor: header.deviceMinor,
  })
  return bytes
}

/** Rounds a length up to whole blocks. */
export function roundUp(length: number): number {
  return Math.ceil(length / kBlockBytes) * kBlockBytes
}

interface Block {
  name: ByteString
  prefix: ByteString
  link: ByteString
  flag: string
  mode: number
  uid?: number
  gid?: number
  sizeBytes: number
  seconds?: number
  deviceMajor?: number
  deviceMinor?: number
}

function writeBlock(bytes: Buffer, at: number, block: Block): void {
  bytes.write(block.name, at, kNameBytes, 'latin1')
  writeOctal(bytes, at + 100, 7, block.mode)
  writeOctal(bytes, at + 108, 7, block.uid ?? 0)
  writeOctal(bytes, at + 116, 7, block.gid ?? 0)
  writeOctal(bytes, at + 124, 11, block.sizeBytes)
  writeOctal(bytes, at + 136, 11, block.seconds ?? 0)
  bytes[at + 156] = block.flag.charCodeAt(0)
  bytes.write(block.link, at + 157, kNameBytes, 'latin1')
  bytes.write('ustar\x0000', at + 257, 8, 'latin1')
  writeOctal(bytes, at + 329, 7, block.deviceMajor ?? 0)
  writeOctal(bytes, at + 337, 7, block.deviceMinor ?? 0)
  bytes.write(block.prefix, at + 345, kPrefixBytes, 'latin1')
  let sum = 8 * 32 // the checksum's own place counts as spaces
  for (let i = at; i < at + kBlockBytes; i++) sum += bytes[i] as number
  writeOctal(bytes, at + kChecksumAt, 6, sum)
  bytes[at + kChecksumAt + 7] = 32
}

function writeOctal(bytes: Buffer, at: number, digits: number, value: number): void {
  let rest = value
  for (let i = at + digits - 1; i >= at; i--) {
    bytes[i] = 48 + (rest % 8)
    rest = Math.floor(rest / 8)
  }
}

/** Divides a name between the two fields of a block; `undefined` when it does not go in. */
function splitName(path: ByteString): { name: ByteString; prefix: ByteString } | undefined {
  if (path.length <= kNameBytes) return { name: path, prefix: '' }
  if (path.length > kPrefixBytes + 1 + kNameBytes) return undefined
  // At the last slash that leaves a name; the one at a directory's end does not.
  const slash = path.lastIndexOf('/', Math.min(path.length - 2, kPrefixBytes))
  if (slash <= 0 || path.length - slash - 1 > kNameBytes) return undefined
  return { name: path.slice(slash + 1), prefix: path.slice(0, slash) }
}

function paxRecords(header: PackHeader, withPath: boolean): ByteString | undefined {
  const { path, linkPath, uid, gid, sizeBytes, seconds, nanoseconds } = header
  const withLink = linkPath.length > kNameBytes
  let records = ''
  // Says to those who take the names for UTF-8 that they are not.
  if ((withPath && !isUtf8(path)) || (withLink && !isUtf8(linkPath))) records += paxRecord('hdrcharset', 'BINARY')
  if (withPath) records += paxRecord('path', path)
  if (withLink) records += paxRecord('linkpath', linkPath)
  if (sizeBytes > kMaxOctal) records += paxRecord('size', String(sizeBytes))
  if (uid > kMaxId) records += paxRecord('uid', String(uid))
  if (gid > kMaxId) records += paxRecord('gid', String(gid))
  if (nanoseconds !== 0 || seconds < 0 || seconds > kMaxOctal) {
    records += paxRecord('mtime', paxTime(seconds, nanoseconds))
  }
  for (const [name, value] of header.xattrs) records += xattrRecord(name, value)
  return records === '' ? undefined : records
}

/** A key ends at the first `=`: a name that has one goes into libarchive's form, which is encoded. */
function xattrRecord(name: ByteString, value: Buffer): ByteString {
  if (!name.includes('=')) return paxRecord(`SCHILY.xattr.${name}`, value.toString('latin1'))
  const encoded = name.replace(
    /[^\w.-]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
  return paxRecord(`LIBARCHIVE.xattr.${encoded}`, value.toString('base64').replace(/=+$/, ''))
}

/** `length key=value\n`, where the length counts itself. */
function paxRecord(key: ByteString, value: ByteString): ByteString {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return `${length}${rest}`
}

/** Decimal seconds. The fraction of a moment before the epoch counts away from it, as the sign does. */
function paxTime(seconds: number, nanoseconds: number): string {
  if (nanoseconds === 0) return String(seconds)
  const isBefore = seconds < 0
  const whole = isBefore ? -seconds - 1 : seconds
  const fraction = isBefore ? 1_000_000_000 - nanoseconds : nanoseconds
  return `${isBefore ? '-' : ''}${whole}.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`
}

function isUtf8(bytes: ByteString): boolean {
  const buffer = Buffer.from(bytes, 'latin1')
  return buffer.equals(Buffer.from(buffer.toString('utf8')))
}
