// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LayerError } from '../../../lib/errors.ts'
import { cleanEntryPath } from '../../../lib/layer/entry-path.ts'
import type { TarEntry } from '../../../lib/layer/tar-entry.ts'
import { TarParser } from '../../../lib/layer/tar-parser.ts'
import { makeTar, paxBody, type TarSpec } from '../../helpers/make-tar.ts'

interface Seen extends TarEntry {
  pieces: [position: number, text: string][]
}

function parse(archive: Buffer, chunkBytes = archive.length): Seen[] {
  const seen: Seen[] = []
  const parser = new TarParser('test', {
    entry: (entry) => seen.push({ ...entry, pieces: [] }),
    data(chunk, start, end, position) {
      seen.at(-1)?.pieces.push([position, chunk.toString('latin1', start, end)])
    },
    entryEnd() {},
  })
  for (let at = 0; at < archive.length; at += Math.max(chunkBytes, 1))
    parser.push(archive.subarray(at, at + chunkBytes))
  parser.end()
  return seen
}

function parseOne(spec: TarSpec, ...more: TarSpec[]): Seen {
  const seen = parse(makeTar([spec, ...more]))
  assert.equal(seen.length, 1)
  return seen[0] as Seen
}

const rejects = (archive: Buffer, reason: RegExp) =>
  assert.throws(
    () => parse(archive),
    (error) => error instanceof LayerError && error.code === 'ERR_LAYER' && reason.test(error.message),
  )

test('fields of a ustar header', () => {
  const entry = parseOne({ name: 'b/c', prefix: 'a', mode: 0o4755, uid: 1, gid: 2, mtime: 3, body: 'hello' })
  assert.equal(entry.path, 'a/b/c')
  assert.deepEqual([entry.type, entry.mode, entry.uid, entry.gid, entry.sizeBytes], ['file', 0o4755, 1, 2, 5])
  assert.deepEqual(entry.mtime, [3, 0])
  assert.deepEqual(entry.pieces, [[0, 'hello']])
})

test('the prefix field of a GNU header is not a prefix', () => {
  assert.equal(parseOne({ name: 'x', format: 'gnu', edit: (h) => void h.write('12345', 345) }).path, 'x')
})

test('base-256 numbers, also negative times', () => {
  const entry = parseOne({ name: 'x', uid: 2 ** 31, mtime: -5 })
  assert.equal(entry.uid, 2 ** 31)
  assert.deepEqual(entry.mtime, [-5, 0])
})

test('GNU long names', () => {
  const path = 'd/'.repeat(200)
  const entry = parseOne(
    { name: '././@LongLink', type: 'L', body: `${path}f\0`, format: 'gnu' },
    { name: '././@LongLink', type: 'K', body: `${path}g\0`, format: 'gnu' },
    { name: 'short', type: '2', linkName: 'short', format: 'gnu' },
  )
  assert.equal(entry.path, `${path}f`)
  assert.equal(entry.linkPath, `${path}g`)
})

test('PAX records override the header, local ones the global ones', () => {
  const archive = makeTar([
    { name: 'g', type: 'g', body: paxBody({ uid: '7', gid: '8' }) },
    { name: 'x', pax: { path: 'é\n=x', uid: '9', mtime: '-1.25', 'SCHILY.xattr.user.a': Buffer.from([0, 10, 255]) } },
    { name: 'y', pax: { 'LIBARCHIVE.xattr.user%2eb': 'aGk' } },
  ])
  const [first, second] = parse(archive) as [Seen, Seen]
  assert.equal(Buffer.from(first.path, 'latin1').toString(), 'é\n=x')
  assert.deepEqual([first.uid, first.gid, second.uid], [9, 8, 7])
  assert.deepEqual(first.mtime, [-2, 750_000_000])
  assert.deepEqual(first.xattrs?.get('user.a'), Buffer.from([0, 10, 255]))
  assert.deepEqual(second.xattrs?.get('user.b'), Buffer.from('hi'))
})

test('sparse files: PAX 0.0, 0.1, 1.0', () => {
  const expected = [
    [512, 'ab'],
    [2000, 'cde'],
  ]
  const map00 = [
    ['GNU.sparse.size', '3000'],
    ['GNU.sparse.numblocks', '2'],
    ['GNU.sparse.offset', '512'],
    ['GNU.sparse.numbytes', '2'],
    ['GNU.sparse.offset', '2000'],
    ['GNU.sparse.numbytes', '3'],
  ] as const
  const map01 = { 'GNU.sparse.size': '3000', 'GNU.sparse.map': '512,2,2000,3', 'GNU.sparse.name': 'real' }
  const map10 = {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': 'real',
    'GNU.sparse.realsize': '3000',
  }
  const body10 = Buffer.concat([Buffer.from('2\n512\n2\n2000\n3\n'), Buffer.alloc(512 - 15), Buffer.from('abcde')])
  for (const spec of [
    { name: 'real', pax: map00, body: 'abcde' },
    { name: 'x', pax: map01, body: 'abcde' },
    { name: 'x', pax: map10, body: body10 },
  ]) {
    const entry = parseOne(spec)
    assert.deepEqual([entry.path, entry.sizeBytes, entry.isSparse], ['real', 3000, true])
    assert.deepEqual(entry.pieces, expected)
  }
})

test('a sparse map that does not fit is refused', () => {
  for (const map of ['512,2,2000,4', '2000,3,512,2', '0,5,2,0', '2999,5', '0,-5', '1,2,3']) {
    rejects(
      makeTar([{ name: 'x', pax: { 'GNU.sparse.size': '3000', 'GNU.sparse.map': map }, body: 'abcde' }]),
      /sparse/,
    )
  }
})

test('damage is refused', () => {
  const good = makeTar([{ name: 'x', body: 'a'.repeat(600) }])
  const flipped = Buffer.from(good)
  flipped[0] = 0x79
  rejects(flipped, /checksum/)
  for (const length of [0, 100, 512, 600, 1111, 1536 + 100]) rejects(good.subarray(0, length), /truncated/)
  rejects(makeTar([{ name: 'x', type: 'x', body: paxBody({ path: 'y' }) }]), /no entry after it/)
  rejects(makeTar([{ name: 'x', type: 'M' }]), /not supported/)
  rejects(makeTar([{ name: 'x', pax: { path: 'a\0b' } }]), /bad value/)
  rejects(makeTar([{ name: 'x', type: 'x', body: '99 path=x\n' }]), /malformed/)
  rejects(makeTar([{ name: 'x', type: 'x', sizeBytes: 2 ** 30 }]), /larger than 1 MiB/)
  rejects(makeTar(Array.from({ length: 20 }, () => ({ name: 'x', type: 'g' }))), /too many PAX/)
  rejects(makeTar([{ name: 'x', edit: (h) => void h.write('9', 124) }]), /size is not a number/)
})

test('an archive without end mark is whole when it stops after an entry', () => {
  assert.equal(parse(makeTar([{ name: 'x', body: 'b' }], { end: false })).length, 1)
})

test('an archive is whole when all bytes of its last entry are there, padding or not', () => {
  // `umoci insert` of 0.4.7 ends there; GNU tar and Docker read it.
  const archive = makeTar([{ name: 'x' }, { name: 'y', body: 'a'.repeat(600) }], { end: false })
  for (const length of [512 + 512 + 600, 512 + 512 + 601, archive.length - 1]) {
    const entries = parse(archive.subarray(0, length), 100)
    assert.deepEqual(
      entries.map(({ path, pieces }) => [path, pieces.map(([, text]) => text).join('').length]),
      [
        ['x', 0],
        ['y', 600],
      ],
    )
  }
  rejects(archive.subarray(0, 512 + 512 + 599), /truncated/)
})

test('a PAX header whose padding and entry are cut off is damage', () => {
  const body = paxBody({ path: 'y' })
  const archive = makeTar([{ name: 'x' }, { name: 'p', type: 'x', body }], { end: false })
  rejects(archive.subarray(0, 512 + 512 + body.length), /truncated/)
})

test('property: the way the bytes are cut makes no difference', () => {
  const archive = makeTar([
    { name: 'a', body: 'x'.repeat(1000), pax: { path: 'long'.repeat(60) } },
    { name: 'd/', type: '5' },
    { name: 'e', pax: { 'GNU.sparse.size': '3000', 'GNU.sparse.map': '512,2,2000,3' }, body: 'abcde' },
  ])
  const flat = (seen: Seen[]) => seen.map((e) => ({ ...e, pieces: e.pieces.map(([, text]) => text).join('') }))
  const whole = flat(parse(archive))
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1500 }), (bytes) => assert.deepEqual(flat(parse(archive, bytes)), whole)),
  )
})

test('property: random and mutated bytes give a LayerError or entries, nothing else', () => {
  const base = makeTar([
    { name: 'a', body: 'x'.repeat(700), pax: { path: 'y', 'SCHILY.xattr.user.a': 'b' } },
    {
      name: 'e',
      pax: { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '9' },
      body: '1\n0\n1\n'.padEnd(513, '\0'),
    },
    { name: '././@LongLink', type: 'L', body: 'abc\0', format: 'gnu' },
    { name: 's', type: 'S', format: 'gnu' },
  ])
  const tolerate = (archive: Buffer, chunkBytes: number) => {
    try {
      parse(archive, chunkBytes)
    } catch (error) {
      if (!(error instanceof LayerError)) throw error
    }
  }
  const edit = fc.record({ at: fc.nat(base.length - 1), value: fc.nat(255) })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.integer({ min: 1, max: 600 }), (bytes, cut) =>
      tolerate(Buffer.from(bytes), cut),
    ),
  )
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 6 }), fc.boolean(), (edits, repair) => {
      const archive = Buffer.from(base)
      for (const { at, value } of edits) {
        archive[at] = value
        if (repair) fixChecksum(archive, at - (at % 512))
      }
      tolerate(archive, 512)
    }),
    { numRuns: 2000 },
  )
})

function fixChecksum(archive: Buffer, at: number): void {
  archive.fill(' ', at + 148, at + 156)
  const sum = archive.subarray(at, at + 512).reduce((total, byte) => total + byte, 0)
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1')
}

test('names are cleaned as by containers/storage', () => {
  assert.deepEqual(cleanEntryPath('./a//b/../c/'), ['a', 'c'])
  assert.deepEqual(cleanEntryPath('/../etc/passwd'), ['etc', 'passwd'])
  assert.deepEqual(cleanEntryPath('./'), [])
  assert.equal(cleanEntryPath('../x'), undefined)
  assert.equal(cleanEntryPath('a/../../x'), undefined)
})
