// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import zlib from 'node:zlib'
import { ConflictError, IntegrityError, InvalidOptionError, LayerError, SyscallError } from '../../../lib/errors.ts'
import { loadNative } from '../../../lib/launcher/native.ts'
import { kDefaultLayerLimits } from '../../../lib/layer/limits.ts'
import { unpackStream } from '../../../lib/layer/unpack-stream.ts'
import { type LayerPlace, layerPlace } from '../../helpers/layer-fixture.ts'
import { makeTar } from '../../helpers/make-tar.ts'
import { needs } from '../../helpers/needs.ts'
import { describeTree, makeRichTree } from '../../helpers/rich-tree.ts'

const sha256 = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

async function roundTrip(t: TestContext, flags: readonly string[]): Promise<LayerPlace> {
  const place = layerPlace(t)
  const tree = join(place.base, 'tree')
  makeRichTree(tree)
  const archive = execFileSync('tar', ['-c', ...flags, '-C', tree, '.'], { maxBuffer: 1 << 28 })
  await place.unpack(archive)
  return place
}

for (const [name, flags] of [
  ['pax with xattrs', ['--format=posix', '--xattrs']],
  ['pax sparse 0.0', ['--format=posix', '--xattrs', '-S', '--sparse-version=0.0']],
  ['pax sparse 0.1', ['--format=posix', '--xattrs', '-S', '--sparse-version=0.1']],
  ['pax sparse 1.0', ['--format=posix', '--xattrs', '-S', '--sparse-version=1.0']],
] as const) {
  test(`a tree packed by GNU tar comes back: ${name}`, async (t) => {
    if (!needs(t, 'root', 'command:tar', 'command:getfattr')) return
    const place = await roundTrip(t, flags)
    assert.equal(describeTree(place.target), describeTree(join(place.base, 'tree')))
    if (flags.includes('-S' as never)) assert.ok(fs.statSync(join(place.target, 'hole')).blocks < 200)
  })
}

for (const flags of [['--format=gnu'], ['--format=gnu', '-S']]) {
  test(`a tree packed by GNU tar comes back as GNU tar unpacks it: ${flags.join(' ')}`, async (t) => {
    if (!needs(t, 'root', 'command:tar', 'command:getfattr')) return
    const place = await roundTrip(t, flags)
    const reference = join(place.base, 'reference')
    fs.mkdirSync(reference)
    execFileSync('tar', ['-xpf', join(place.base, 'layer.tar'), '--same-owner', '-C', reference])
    assert.equal(describeTree(place.target), describeTree(reference))
  })
}

const small = makeTar([
  { name: 'd/', type: '5', mtime: 5 },
  { name: 'd/f', body: 'content', mtime: 6 },
])

test('digests, sizes and compression', async (t) => {
  const gzip = Buffer.concat([zlib.gzipSync(small.subarray(0, 700)), zlib.gzipSync(small.subarray(700))])
  for (const bytes of [small, gzip]) {
    const place = layerPlace(t)
    const result = await place.unpack(bytes, { expectedDigest: sha256(bytes), expectedDiffId: sha256(small) })
    assert.deepEqual(result, {
      digest: sha256(bytes),
      diffId: sha256(small),
      compressedBytes: bytes.length,
      sizeBytes: 7,
      entries: 2,
    })
    assert.equal(fs.readFileSync(join(place.target, 'd/f'), 'utf8'), 'content')
    assert.equal(fs.statSync(join(place.target, 'd')).mtimeMs, 5000)
  }
})

test('zstd, one frame and many', async (t) => {
  if (!needs(t, 'command:zstd')) return
  const body = Buffer.alloc(3_000_000, 'abcdefgh').map((byte, i) => (i % 7 === 0 ? i : byte))
  const archive = makeTar([{ name: 'f', body: Buffer.from(body) }])
  const zstd = (part: Buffer) => execFileSync('zstd', ['-q', '-c'], { input: part, maxBuffer: 1 << 26 })
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])
  const frames = Buffer.concat([
    skippable,
    zstd(archive.subarray(0, 5)),
    zstd(Buffer.alloc(0)),
    zstd(archive.subarray(5)),
    skippable,
  ])
  for (const bytes of [zstd(archive), frames]) {
    const place = layerPlace(t)
    assert.equal((await place.unpack(bytes)).diffId, sha256(archive))
    assert.deepEqual(fs.readFileSync(join(place.target, 'f')), Buffer.from(body))
  }
  const place = layerPlace(t)
  await assert.rejects(place.unpack(zstd(archive).subarray(0, -9)), LayerError)
  // A window descriptor that asks for 2 GiB.
  await assert.rejects(place.unpack(Buffer.from('28b52ffd00a8010000', 'hex')), /too much memory/)
  assert.deepEqual(place.names(), ['layer.tar', 'outside'])
})

test('whiteouts become overlay marks', async (t) => {
  if (!needs(t, 'root', 'command:getfattr')) return
  const place = layerPlace(t)
  await place.unpack([
    { name: '.wh.gone' },
    { name: 'dir/.wh..wh..opq' },
    { name: '.wh.both' },
    { name: 'both', body: 'here' },
    { name: '.wh.tree' },
    { name: 'tree/', type: '5' },
    { name: '.wh..wh.plnk', type: '5' },
  ])
  const stat = fs.statSync(join(place.target, 'gone'))
  assert.ok(stat.isCharacterDevice() && stat.rdev === 0)
  assert.equal(fs.readFileSync(join(place.target, 'both'), 'utf8'), 'here')
  for (const dir of ['dir', 'tree']) {
    const value = execFileSync('getfattr', ['--only-values', '-n', 'user.overlay.opaque', dir], { cwd: place.target })
    assert.equal(value.toString(), 'y')
  }
  assert.deepEqual(fs.readdirSync(place.target).sort(), ['both', 'dir', 'gone', 'tree'])
})

test('a wrong digest leaves nothing', async (t) => {
  const place = layerPlace(t)
  const wrong = sha256(Buffer.from('x'))
  await assert.rejects(place.unpack(small, { expectedDigest: wrong }), (error) => {
    assert.ok(error instanceof IntegrityError)
    assert.deepEqual([error.code, error.expected, error.actual], ['ERR_INTEGRITY', wrong, sha256(small)])
    return true
  })
  await assert.rejects(place.unpack(zlib.gzipSync(small), { expectedDiffId: wrong }), IntegrityError)
  assert.deepEqual(place.names(), ['layer.tar', 'outside'])
})

test('a stream as source, in small and in large chunks', async (t) => {
  const archive = makeTar([{ name: 'f', body: Buffer.alloc(9_000_000, 7) }])
  for (const bytes of [1000, 5_000_000]) {
    const place = layerPlace(t)
    const chunks = function* () {
      for (let at = 0; at < archive.length; at += bytes) yield archive.subarray(at, at + bytes)
    }
    const result = await place.unpack([], { source: Readable.from(chunks()) })
    assert.equal(result.digest, sha256(archive))
  }
})

test('a failing stream, an abort, a target that exists, a missing source', async (t) => {
  const place = layerPlace(t)
  const failing = async function* () {
    yield small.subarray(0, 600)
    throw new Error('connection lost')
  }
  await assert.rejects(place.unpack([], { source: Readable.from(failing()) }), /connection lost/)
  const controller = new AbortController()
  const endless = async function* () {
    yield small.subarray(0, 600)
    setImmediate(() => controller.abort(new Error('enough')))
    await new Promise(() => {})
  }
  const source = Readable.from(endless())
  await assert.rejects(place.unpack([], { source, signal: controller.signal }), /enough/)
  assert.ok(source.destroyed)
  await assert.rejects(place.unpack(small, { source: '/nonexistent/file' }), { code: 'ENOENT' })
  assert.deepEqual(place.names(), ['layer.tar', 'outside'])
  fs.mkdirSync(place.target)
  fs.writeFileSync(join(place.target, 'mine'), '')
  await assert.rejects(place.unpack(small), ConflictError)
  assert.deepEqual(fs.readdirSync(place.target), ['mine'])
  await assert.rejects(place.unpack(small, { limits: { maxFiles: 1 } as never }), InvalidOptionError)
})

test("errors of the host are not the layer's", async (t) => {
  const place = layerPlace(t)
  await assert.rejects(place.unpack(small, { targetDir: '/proc/nowhere/layer' }), (error) => {
    assert.ok(error instanceof SyscallError)
    assert.equal(error.code, 'ENOENT')
    return true
  })
})

test('current-user keeps no owners and leaves devices out', async (t) => {
  const place = layerPlace(t)
  const entries = [
    { name: 'f', uid: 12345, gid: 12345 },
    { name: 'dev', type: '3', deviceMajor: 1, deviceMinor: 3 },
  ]
  await place.unpack(entries, { ownerMap: 'current-user' })
  assert.deepEqual(fs.readdirSync(place.target), ['f'])
  assert.equal(fs.statSync(join(place.target, 'f')).uid, process.geteuid?.())
})

/** All natives of the file system that change something. */
const kChanging = [
  ...[
    'makeFile',
    'finishFile',
    'write',
    'pwrite',
    'ftruncate',
    'mkdirat',
    'mknodat',
    'symlinkat',
    'linkat',
    'unlinkat',
  ],
  ...['renameat2', 'fchmod', 'fchmodat', 'fchown', 'fchownat', 'futimens', 'utimensat', 'fsetxattr', 'lsetxattrat'],
  ...['fremovexattr', 'syncfs', 'fsync', 'fdatasync'],
]

test('durable: everything is synced once, after the last change', (t) => {
  const { target } = layerPlace(t)
  const calls: string[] = []
  // The real addon, listened to.
  const native = new Proxy(loadNative(), {
    get(addon, key, receiver) {
      if (typeof key === 'string') calls.push(key)
      return Reflect.get(addon, key, receiver)
    },
  })
  const sparse = { 'GNU.sparse.map': '0,1,1000000,1', 'GNU.sparse.size': '1000001', 'GNU.sparse.numblocks': '2' }
  const archive = makeTar([
    { name: 'd/', type: '5' },
    { name: 'd/f', body: 'x' },
    { name: 'd/f', body: 'again' },
    { name: 'd/big', body: Buffer.alloc(3_000_000, 7) },
    { name: 'd/sparse', body: 'ab', pax: sparse },
    { name: 'd/soft', type: '2', linkName: 'f' },
    { name: 'd/hard', type: '1', linkName: 'd/f' },
    { name: 'd/fifo', type: '6' },
  ])
  // A file whose bytes come with its header is made at once, one that goes on is written piece by piece.
  const pieces = [0, 1, 2].map((part) => archive.subarray(part * 1_200_000, (part + 1) * 1_200_000))
  const rest = { limits: kDefaultLayerLimits, ownerMap: 'current-user' as const }
  const summary = () => ({ digest: sha256(archive), diffId: sha256(archive), compressedBytes: archive.length })
  for (const durable of [true, false]) {
    calls.length = 0
    const targetDir = `${target}-${durable}`
    unpackStream(native, { chunks: pieces, summary }, { layer: 'x', targetDir, durable, ...rest })
    const changes = calls.filter((name) => kChanging.includes(name))
    for (const name of ['makeFile', 'write', 'pwrite', 'ftruncate', 'mkdirat', 'symlinkat', 'linkat', 'unlinkat']) {
      assert.ok(changes.includes(name), `${name} is not among ${[...new Set(changes)].join(' ')}`)
    }
    const syncs = changes.filter((name) => /sync/.test(name))
    assert.deepEqual(syncs, durable ? ['syncfs'] : [])
    if (durable) assert.equal(changes.at(-1), 'syncfs')
    assert.equal(fs.statSync(join(targetDir, 'd/big')).size, 3_000_000)
    assert.equal(fs.statSync(join(targetDir, 'd/sparse')).size, 1_000_001)
  }
})
