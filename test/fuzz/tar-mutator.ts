// SPDX-License-Identifier: MIT
import { type Random, shuffled } from '../../bench/random.ts'
import { paxBody } from '../helpers/make-tar.ts'

const kBlockBytes = 512
const kMaxBytes = 200_000

/** Header fields: offset and length. */
const kFields = [
  [0, 100],
  [100, 8],
  [108, 8],
  [116, 8],
  [124, 12],
  [136, 12],
  [157, 100],
  [257, 8],
  [329, 8],
  [337, 8],
  [345, 155],
  [386, 96],
  [482, 1],
  [483, 12],
] as const
const kTypes = '\x000123456789DgKLMNSVxX~'
const kNumbers = [
  '0',
  '1',
  '7777',
  '777777777777',
  '-1',
  ' 12 ',
  '\x80\0\0\0\0\0\0\x01',
  '\xff\xff\xff\xff\xff\xff\xff\xfe',
  '8',
]
const kPaxKeys = [
  ...['path', 'linkpath', 'size', 'uid', 'gid', 'mtime', 'comment', 'SCHILY.xattr.user.a', 'SCHILY.xattr.user.'],
  ...[
    'SCHILY.xattr.security.capability',
    'SCHILY.xattr.system.posix_acl_access',
    'SCHILY.xattr.trusted.overlay.opaque',
  ],
  ...['LIBARCHIVE.xattr.user.%41', 'GNU.sparse.major', 'GNU.sparse.minor', 'GNU.sparse.name', 'GNU.sparse.realsize'],
  ...['GNU.sparse.size', 'GNU.sparse.map', 'GNU.sparse.offset', 'GNU.sparse.numbytes', 'GNU.sparse.numblocks'],
]
const kPaxValues = [
  '',
  '0',
  '1',
  '-1',
  '99999999999999999999',
  '1.5',
  '-1.999',
  '0,5,10,20',
  '0,1',
  'AAAA',
  '\0',
  'x'.repeat(300),
]

/** Makes archives out of archives: each is near enough to a good one to get past the first check. */
export class TarMutator {
  readonly #random: Random
  readonly #seeds: readonly Buffer[]
  readonly #names: readonly string[]

  /** @param names of places that a hostile archive would like to reach. */
  constructor(random: Random, seeds: readonly Buffer[], names: readonly string[]) {
    this.#random = random
    this.#seeds = seeds
    this.#names = [
      ...names,
      '',
      '.',
      '..',
      '/',
      'a',
      'a/b',
      'a/b/link',
      'abs',
      'abs/x',
      'a/../../x',
      './/a',
      '.wh.a',
      '.wh.',
    ]
    this.#names = [...this.#names, 'a/.wh..wh..opq', '.wh..wh.plnk/x', '.wh..', '\xff', 'y'.repeat(99), 'd/'.repeat(45)]
  }

  next(): Buffer {
    let archive: Buffer = Buffer.from(this.#pick(this.#seeds))
    for (let count = 1 + this.#below(6); count > 0; count--) archive = this.#mutate(archive)
    return archive.subarray(0, kMaxBytes)
  }

  #mutate(archive: Buffer): Buffer {
    if (archive.length < kBlockBytes) return Buffer.from(this.#pick(this.#seeds))
    const at = this.#below(Math.floor(archive.length / kBlockBytes)) * kBlockBytes
    switch (this.#below(10)) {
      case 0: // a byte anywhere
        archive[this.#below(archive.length)] = this.#below(256)
        return archive
      case 1: // cut off
        return archive.subarray(0, this.#below(archive.length))
      case 2: // another archive's blocks put in
        return Buffer.concat([archive.subarray(0, at), this.#blocks(this.#pick(this.#seeds)), archive.subarray(at)])
      case 3: // blocks of its own taken out
        return Buffer.concat([archive.subarray(0, at), archive.subarray(at + kBlockBytes * (1 + this.#below(3)))])
      case 4: // or repeated, or in another order
        return Buffer.concat([
          archive.subarray(0, at),
          ...shuffled([this.#blocks(archive), archive.subarray(at)], this.#random),
        ])
      case 5:
        return this.#withPax(archive, at)
      case 6:
        archive.write(this.#pick([...kTypes]), at + 156, 'latin1')
        break
      default:
        this.#editField(archive, at)
    }
    fixChecksum(archive, at)
    return archive
  }

  #editField(archive: Buffer, at: number): void {
    const [offset, length] = this.#pick(kFields)
    const isText = length >= 100
    const value = isText ? this.#pick(this.#names) : this.#pick(kNumbers)
    archive.fill(0, at + offset, at + offset + length)
    archive.write(value, at + offset, length, 'latin1')
  }

  #withPax(archive: Buffer, at: number): Buffer {
    const records = Array.from({ length: 1 + this.#below(4) }, () => {
      const key = this.#pick(kPaxKeys)
      const value = /path|name/.test(key) ? this.#pick(this.#names) : this.#pick(kPaxValues)
      return [key, Buffer.from(value, 'latin1')] as const
    })
    const body = paxBody(records)
    if (this.#below(8) === 0) body[this.#below(body.length)] = this.#below(256)
    const block = Buffer.alloc(kBlockBytes * (1 + Math.ceil(body.length / kBlockBytes)))
    block.write(`pax\0`, 0)
    block.write(body.length.toString(8).padStart(11, '0'), 124)
    block.write(this.#below(6) === 0 ? 'g' : 'x', 156)
    block.write('ustar\x0000', 257, 'latin1')
    body.copy(block, kBlockBytes)
    fixChecksum(block, 0)
    return Buffer.concat([archive.subarray(0, at), block, archive.subarray(at)])
  }

  #blocks(from: Buffer): Buffer {
    const start = this.#below(Math.ceil(from.length / kBlockBytes)) * kBlockBytes
    return from.subarray(start, start + kBlockBytes * (1 + this.#below(6)))
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#below(items.length)] as T
  }
}

function fixChecksum(archive: Buffer, at: number): void {
  if (at + kBlockBytes > archive.length) return
  archive.fill(' ', at + 148, at + 156)
  let sum = 0
  for (let i = at; i < at + kBlockBytes; i++) sum += archive[i] as number
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1')
}
