// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { LayerError } from '../../../lib/errors.ts'
import { GrowingFile } from '../../../lib/layer/growing-file.ts'
import { Unpacker, type UnpackerOptions } from '../../../lib/layer/unpacker.ts'
import { layerPlace } from '../../helpers/layer-fixture.ts'
import { makeTar } from '../../helpers/make-tar.ts'
import { until } from '../../helpers/until.ts'

function openUnpacker(t: TestContext, options: UnpackerOptions = {}) {
  const place = layerPlace(t)
  const unpacker = new Unpacker(options)
  t.after(() => unpacker.close())
  const archive = (body: string) => {
    const path = join(place.base, `${createHash('sha1').update(body).digest('hex')}.tar`)
    fs.writeFileSync(path, makeTar([{ name: 'f', body }]))
    return path
  }
  const unpack = (source: string | Readable | GrowingFile, name: string, signal?: AbortSignal) =>
    unpacker.unpack({ source, layer: name, targetDir: join(place.base, name), durable: false, signal })
  return { place, unpacker, archive, unpack }
}

test('one pair of threads unpacks many layers, good ones and bad ones in turn', async (t) => {
  const { place, archive, unpack } = openUnpacker(t, { maxPairs: 1 })
  const bad = join(place.base, 'bad.tar')
  fs.writeFileSync(bad, Buffer.alloc(100_000, 'x'))
  for (let i = 0; i < 10; i++) {
    // Long enough that bytes of it are on their way when it is refused.
    const stream = Readable.from([Buffer.alloc(9_000_000, 'y'), Buffer.alloc(9_000_000, 'y')])
    await assert.rejects(unpack(i % 2 === 0 ? bad : stream, 'bad'), LayerError)
    await unpack(archive(`number ${i}`), `good-${i}`)
    assert.equal(fs.readFileSync(join(place.base, `good-${i}`, 'f'), 'utf8'), `number ${i}`)
  }
  assert.ok(!fs.existsSync(join(place.base, 'bad')))
})

test('many layers at a time: those for which there is no pair wait their turn', async (t) => {
  const { place, archive, unpack } = openUnpacker(t, { maxPairs: 2 })
  const names = Array.from({ length: 12 }, (_, i) => `layer-${i}`)
  await Promise.all(names.map((name) => unpack(archive(name), name)))
  for (const name of names) assert.equal(fs.readFileSync(join(place.base, name, 'f'), 'utf8'), name)
})

test('threads that were started ahead do the work, as many as there may be', async (t) => {
  const { place, unpacker, archive, unpack } = openUnpacker(t, { maxPairs: 2 })
  const threads = () => fs.readdirSync('/proc/self/task').length
  const before = threads()
  unpacker.prepare(5)
  await until(() => threads() >= before + 2, 'the threads have started')
  unpacker.prepare(1)
  const started = threads()
  await unpack(archive('x'), 'out')
  assert.equal(threads(), started)
  assert.ok(fs.existsSync(join(place.base, 'out')))
  await unpacker.close()
  unpacker.prepare(1)
  await until(() => threads() <= before, 'the threads have ended')
})

test('an abort ends the wait for a pair, and a closed unpacker what it does', async (t) => {
  const { place, unpacker, archive, unpack } = openUnpacker(t, { maxPairs: 1 })
  const path = join(place.base, 'download')
  fs.writeFileSync(path, '')
  await using growing = await GrowingFile.open(path)
  const first = unpack(growing, 'first')
  const controller = new AbortController()
  const second = unpack(archive('x'), 'second', controller.signal)
  const third = unpack(archive('y'), 'third')
  controller.abort(new Error('enough'))
  await assert.rejects(second, /enough/)
  const ends = Promise.allSettled([first, third])
  await unpacker.close()
  const codes = (await ends).map((end) => (end.status === 'rejected' ? end.reason.code : 'none'))
  assert.deepEqual(codes, ['ERR_WORKER', 'ERR_ENGINE_CLOSED'])
  await assert.rejects(unpack(archive('z'), 'fourth'), { code: 'ERR_ENGINE_CLOSED' })
  for (const name of ['first', 'second', 'third', 'fourth']) assert.ok(!fs.existsSync(join(place.base, name)))
})

/** What zstd makes of bytes that it cannot pack: one frame of one block. */
function rawZstd(bytes: Buffer): Buffer {
  const head = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0, 0, 0, 0])
  head.writeUInt32LE(bytes.length, 5)
  head.writeUIntLE((bytes.length << 3) | 1, 9, 3)
  return Buffer.concat([head, bytes])
}

test('an abort leaves nothing behind, also when it comes as one thread hands over to another, or after the work', async (t) => {
  const { place, archive, unpack } = openUnpacker(t, { maxPairs: 1 })
  const packed = join(place.base, 'packed')
  fs.writeFileSync(packed, rawZstd(makeTar([{ name: 'f', body: 'x' }])))
  await unpack(packed, 'whole')
  assert.ok(fs.existsSync(join(place.base, 'whole', 'f')))
  for (const source of [packed, archive('x')]) {
    const abort = new AbortController()
    const reason = new Error('enough')
    const unpacking = unpack(source, 'aborted', abort.signal)
    await new Promise((resolve) => setImmediate(resolve))
    // The threads say what they have done, and we do not listen yet.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
    abort.abort(reason)
    await assert.rejects(unpacking, reason)
    assert.ok(!fs.existsSync(join(place.base, 'aborted')), `of ${source}`)
    await unpack(source, 'aborted')
    fs.rmSync(join(place.base, 'aborted'), { recursive: true })
  }
})

test('threads that wait do not keep the process alive', async (t) => {
  const { place, archive } = openUnpacker(t)
  const module = fileURLToPath(new URL('../../../lib/layer/unpacker.js', import.meta.url))
  const options = { source: archive('x'), layer: 'x', targetDir: join(place.base, 'out'), durable: false }
  const script = `import { Unpacker } from ${JSON.stringify(module)}
    await new Unpacker({ idleMs: 600_000 }).unpack(${JSON.stringify(options)})
    console.log('unpacked')`
  const args = ['--input-type=module', '-e', script]
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { timeout: 120_000 })
  assert.deepEqual([stdout, stderr], ['unpacked\n', ''])
})

test('threads end when there is nothing to do for a while', async (t) => {
  const { archive, unpack } = openUnpacker(t, { idleMs: 1 })
  const threads = () => fs.readdirSync('/proc/self/task').length
  const before = threads()
  await unpack(archive('x'), 'out')
  await until(() => threads() <= before, 'the threads have ended')
})
