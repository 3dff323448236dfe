// SPDX-License-Identifier: MIT
// Layers in files are read by a thread of the addon, streams by a worker: both must find the same.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { loadNative } from '../../../lib/launcher/native.ts'
import { kChunkBytes, newRingMemory } from '../../../lib/layer/chunk-ring.ts'
import { Unpacker } from '../../../lib/layer/unpacker.ts'
import { layerPlace } from '../../helpers/layer-fixture.ts'
import { makeTar } from '../../helpers/make-tar.ts'

const content = randomBytes(700_000)
const archive = makeTar([
  { name: 'a', body: content },
  { name: 'b', body: Buffer.alloc(3_000_000, 'b') },
])
const gzip = zlib.gzipSync(archive)
const half = archive.length >> 1
const members = Buffer.concat([zlib.gzipSync(archive.subarray(0, half)), zlib.gzipSync(archive.subarray(half))])

/** Two members, of which the second begins with what is read as a new chunk. */
function alignedMembers(): Buffer {
  const first = zlib.gzipSync(archive.subarray(0, half))
  const parts: Buffer[] = []
  // Members of no byte fill the rest: a gzip header may carry up to 64 KiB of anything.
  for (let left = kChunkBytes - (first.length % kChunkBytes); left > 0; ) {
    const extra = left > 61_000 ? 60_000 : left - 22
    const header = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 3, extra & 255, extra >> 8])
    parts.push(header, Buffer.alloc(extra), Buffer.from([3, 0]), Buffer.alloc(8))
    left -= extra + 22
  }
  return Buffer.concat([...parts, first, zlib.gzipSync(archive.subarray(half))])
}

const kInputs: Record<string, Buffer> = {
  'a plain archive': archive,
  'one that ends in the middle of a file': archive.subarray(0, half),
  'no byte': Buffer.alloc(0),
  'one byte': Buffer.from([0x1f]),
  'the start of a gzip header': gzip.subarray(0, 3),
  gzip,
  'several members': members,
  'members that begin with a chunk': alignedMembers(),
  'zeros after the last member': Buffer.concat([gzip, Buffer.alloc(300_000)]),
  'a member after zeros': Buffer.concat([gzip, Buffer.alloc(10), gzip]),
  'something else after the last member': Buffer.concat([gzip, Buffer.from('trailing')]),
  'gzip, cut short': gzip.subarray(0, gzip.length - 1),
  'gzip with a wrong checksum': Buffer.concat([gzip.subarray(0, -8), Buffer.alloc(8, 1)]),
  'gzip, damaged in the middle': Buffer.concat([gzip.subarray(0, 5000), Buffer.alloc(64), gzip.subarray(5064)]),
  'gzip of no byte': zlib.gzipSync(Buffer.alloc(0)),
}

test('a file is found to be what the same bytes are as a stream', async (t) => {
  const place = layerPlace(t)
  const unpacker = new Unpacker({ maxPairs: 1 })
  t.after(() => unpacker.close())
  const path = join(place.base, 'input')
  const outcome = async (source: string | Readable): Promise<unknown> => {
    const targetDir = join(place.base, 'out')
    try {
      const result = await unpacker.unpack({ source, layer: 'x', targetDir, durable: false })
      const files = fs.readdirSync(targetDir).map((name) => fs.readFileSync(join(targetDir, name)))
      fs.rmSync(targetDir, { recursive: true })
      return { ...result, files: files.map((bytes) => createHash('sha256').update(bytes).digest('hex')) }
    } catch (error) {
      assert.equal(fs.existsSync(targetDir), false)
      return { name: (error as Error).name, message: (error as Error).message }
    }
  }
  const found: string[] = []
  for (const [name, bytes] of Object.entries(kInputs)) {
    fs.writeFileSync(path, bytes)
    const ofFile = await outcome(path)
    assert.deepEqual(ofFile, await outcome(Readable.from([bytes])), name)
    if ('digest' in (ofFile as object)) found.push(name)
  }
  const good = ['a plain archive', 'gzip', 'several members', 'members that begin with a chunk']
  assert.deepEqual(found, [...good, 'zeros after the last member', 'a member after zeros'])
})

test('the addon reads files here, and refuses what is no ring', (t) => {
  const native = loadNative()
  const { base } = layerPlace(t)
  const path = join(base, 'input')
  fs.writeFileSync(path, gzip)
  const { control, data } = newRingMemory()
  const words = new Int32Array(control)
  const file = fs.openSync(path, 'r')
  t.after(() => fs.closeSync(file))
  for (const wrong of [
    [file, words.subarray(0, 8), new Uint8Array(data), undefined],
    [file, words, new Uint8Array(data, 0, kChunkBytes), undefined],
    [file, words, new Uint8Array(data), new Int32Array(2)],
    ['x', words, new Uint8Array(data), undefined],
  ]) {
    assert.throws(() => native.startFeed(...(wrong as Parameters<typeof native.startFeed>)), TypeError)
  }
  assert.throws(() => native.finishFeed({}), TypeError)
  assert.throws(() => native.futexWait(words, words.length, 0), TypeError)
  // One that is still growing is waited for, until nobody wants it any more.
  const feed = native.startFeed(file, words, new Uint8Array(data), new Int32Array(4))
  assert.ok(feed !== undefined, 'this Node shares its zlib and OpenSSL')
  assert.deepEqual(native.finishFeed(feed), { status: 'stopped', digest: 'sha256:', bytes: 0 })
})

test('a process that exits in the middle of a download does so at once', async (t) => {
  const { base } = layerPlace(t)
  const module = (name: string) => JSON.stringify(fileURLToPath(new URL(`../../../lib/layer/${name}`, import.meta.url)))
  const path = join(base, 'download')
  fs.writeFileSync(path, archive.subarray(0, half))
  const target = join(base, 'out')
  const script = `import fs from 'node:fs'
    import { Unpacker } from ${module('unpacker.js')}
    import { GrowingFile } from ${module('growing-file.js')}
    const file = await GrowingFile.open(${JSON.stringify(path)})
    file.advance(${half})
    const options = { source: file, layer: 'x', targetDir: ${JSON.stringify(target)}, durable: false }
    new Unpacker().unpack(options).catch(() => {})
    while (!fs.existsSync(${JSON.stringify(join(target, 'b'))})) await new Promise(setImmediate)
    console.log('begun')
    process.exit(3)`
  const running = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { timeout: 60_000 })
  await assert.rejects(running, { code: 3, stdout: 'begun\n', killed: false })
})
