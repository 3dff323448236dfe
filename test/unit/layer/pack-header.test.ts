// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import fc from 'fast-check'
import { Crc32, tableCrc32 } from '../../../lib/layer/pack-crc32.ts'
import { BlockGzip } from '../../../lib/layer/pack-gzip.ts'
import { encodeHeader, type PackHeader } from '../../../lib/layer/pack-header.ts'
import { IdsBack } from '../../../lib/layer/pack-ids.ts'
import type { TarEntry } from '../../../lib/layer/tar-entry.ts'
import { TarParser } from '../../../lib/layer/tar-parser.ts'

const kPlain: PackHeader = {
  path: 'etc/hosts',
  linkPath: '',
  typeFlag: '0',
  mode: 0o644,
  uid: 0,
  gid: 0,
  sizeBytes: 0,
  seconds: 1_700_000_000,
  nanoseconds: 0,
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: [],
}

/** What our own reader makes of a header that stands alone. */
function parse(bytes: Buffer): TarEntry {
  const entries: TarEntry[] = []
  const parser = new TarParser('test', { entry: (entry) => entries.push(entry), data() {}, entryEnd() {} })
  parser.push(bytes)
  return entries[0] as TarEntry
}

test('a plain file takes one block, which holds no name of a user and nothing of the moment', () => {
  const block = encodeHeader(kPlain)
  assert.equal(block.length, 512)
  assert.equal(block.toString('latin1', 257, 265), 'ustar\x0000')
  assert.ok(block.subarray(265, 329).every((byte) => byte === 0))
  assert.deepEqual(block, encodeHeader({ ...kPlain }))
})

test('what a block has no room for goes into PAX records, and is read back', () => {
  const byte = fc.integer({ min: 1, max: 255 }).filter((code) => code !== 47)
  const name = fc.array(byte, { minLength: 1, maxLength: 120 }).map((codes) => String.fromCharCode(...codes))
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/'))
  const xattr = fc.tuple(
    name.map((text) => `user.${text.replace(/[^\x21-\x7e]/g, '_')}`),
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  )
  const header = fc.record<PackHeader>({
    path,
    linkPath: fc.option(path, { nil: '' }),
    typeFlag: fc.constant('2'),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
    gid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
    sizeBytes: fc.constant(0),
    seconds: fc.integer({ min: -(2 ** 31), max: 2 ** 35 }),
    nanoseconds: fc.integer({ min: 0, max: 999_999_999 }),
    deviceMajor: fc.constant(0),
    deviceMinor: fc.constant(0),
    xattrs: fc.uniqueArray(xattr, { selector: ([key]) => key, maxLength: 3 }),
  })
  fc.assert(
    fc.property(header, (given) => {
      const entry = parse(encodeHeader(given))
      assert.equal(entry.path, given.path)
      assert.equal(entry.linkPath, given.linkPath)
      assert.deepEqual([entry.mode, entry.uid, entry.gid], [given.mode, given.uid, given.gid])
      assert.deepEqual([...entry.mtime], [given.seconds, given.nanoseconds])
      assert.deepEqual([...(entry.xattrs ?? [])], [...given.xattrs])
    }),
  )
})

test('a file of 8 GiB and more says its size in a record', () => {
  const sizeBytes = 9 * 1024 ** 3
  assert.equal(parse(encodeHeader({ ...kPlain, sizeBytes })).sizeBytes, sizeBytes)
})

test('ids go back through a map, also those inside of attributes', () => {
  const ids = new IdsBack({
    uids: [
      { containerId: 0, hostId: 1000, size: 1 },
      { containerId: 1, hostId: 100_000, size: 65_536 },
    ],
    gids: [{ containerId: 0, hostId: 100_000, size: 65_536 }],
  })
  assert.deepEqual(
    [1000, 100_000, 165_535, 165_536, 0].map((id) => ids.uid(id)),
    [0, 1, 65_536, undefined, undefined],
  )
  assert.deepEqual(
    [100_000, 99_999].map((id) => ids.gid(id)),
    [0, undefined],
  )
  const acl = Buffer.from('0200000001000600ffffffff0200070005960100' + '08000500a0860100', 'hex')
  acl.writeUInt32LE(100_004, 16)
  const mapped = ids.xattr('system.posix_acl_access', acl)
  assert.deepEqual([mapped?.readUInt32LE(16), mapped?.readUInt32LE(24)], [5, 0])
  const capability = Buffer.alloc(24)
  capability.writeUInt32LE(0x03000001)
  capability.writeUInt32LE(1000, 20)
  assert.equal(ids.xattr('security.capability', capability)?.toString('hex'), `01000002${'00'.repeat(16)}`)
  capability.writeUInt32LE(7, 20)
  assert.equal(ids.xattr('security.capability', capability), undefined)
  assert.equal(new IdsBack(undefined).uid(5), 5)
})

test('the checksum of old Nodes is that of new ones', () => {
  for (const text of ['', '123456789', 'x'.repeat(10_000)]) {
    const ours = new Crc32(tableCrc32())
    ours.update(Buffer.from(text.slice(0, 5)))
    ours.update(Buffer.from(text.slice(5)))
    assert.equal(ours.value, zlib.gzipSync(text).readUInt32LE(zlib.gzipSync(text).length - 8))
  }
})

test('chunks deflated side by side are one gzip member without time or system', async () => {
  const bytes = Buffer.alloc(3_000_000, 'some text that repeats itself, more or less; ')
  for (let at = 0; at < bytes.length; at += 97) bytes[at] = at % 251
  const parts: Buffer[] = []
  const gzip = new BlockGzip(
    {
      async write(chunk) {
        parts.push(Buffer.from(chunk))
      },
    },
    6,
  )
  for (let at = 0; at < bytes.length; at += 700_000) {
    const buffer = gzip.buffer(700_000)
    await gzip.write(buffer.subarray(0, bytes.copy(buffer, 0, at)))
  }
  await gzip.end()
  const packed = Buffer.concat(parts)
  assert.equal(packed.toString('hex', 0, 10), '1f8b08000000000000ff')
  assert.ok(zlib.gunzipSync(packed).equals(bytes))
  assert.ok(packed.length < zlib.gzipSync(bytes).length * 1.05)
})
