// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import zlib from 'node:zlib'
import { IntegrityError } from '../../../lib/errors.ts'
import { GrowingFile } from '../../../lib/layer/growing-file.ts'
import { type LayerPlace, layerPlace } from '../../helpers/layer-fixture.ts'
import { makeTar } from '../../helpers/make-tar.ts'

const content = randomBytes(3_000_000)
const archive = makeTar([
  { name: 'first', body: 'early' },
  { name: 'second', body: content },
])

/** Waits until the thread has begun with the second file; it does what it can with the bytes there are. */
async function begun(place: LayerPlace, unpacking: Promise<unknown>): Promise<void> {
  let ended = false
  const end = () => {
    ended = true
  }
  unpacking.then(end, end)
  while (!ended && !fs.existsSync(join(place.target, 'second'))) await new Promise(setImmediate)
  assert.equal(ended, false, 'it ended early')
}

async function growing(t: TestContext): Promise<{ place: LayerPlace; file: GrowingFile; path: string }> {
  const place = layerPlace(t)
  const path = join(place.base, 'download')
  fs.writeFileSync(path, '')
  const file = await GrowingFile.open(path)
  t.after(() => file.close())
  return { place, file, path }
}

for (const [name, bytes] of [
  ['plain', archive],
  ['gzip', zlib.gzipSync(archive)],
] as const) {
  test(`a file is unpacked while it grows: ${name}`, async (t) => {
    const { place, file, path } = await growing(t)
    const unpacking = place.unpack([], { source: file })
    const cut = bytes.length >> 1
    fs.appendFileSync(path, bytes.subarray(0, cut))
    file.advance(cut)
    await begun(place, unpacking)
    fs.appendFileSync(path, bytes.subarray(cut))
    fs.renameSync(path, join(place.base, 'elsewhere'))
    file.finish(bytes.length)
    const result = await unpacking
    assert.equal(result.compressedBytes, bytes.length)
    assert.deepEqual(fs.readFileSync(join(place.target, 'second')), content)
  })
}

test('a file that is whole already, of no byte, and one that was announced too long', async (t) => {
  const whole = await growing(t)
  fs.appendFileSync(whole.path, archive)
  whole.file.finish(archive.length)
  whole.file.advance(1)
  whole.file.fail(new Error('too late'))
  assert.equal((await whole.place.unpack([], { source: whole.file })).entries, 2)
  const empty = await growing(t)
  empty.file.finish(0)
  await assert.rejects(empty.place.unpack([], { source: empty.file }), /truncated/)
  const short = await growing(t)
  fs.appendFileSync(short.path, archive.subarray(0, 2000))
  short.file.finish(archive.length)
  await assert.rejects(short.place.unpack([], { source: short.file }), { code: 'ERR_DOWNLOAD' })
  assert.deepEqual(short.place.names(), ['download', 'layer.tar', 'outside'])
})

test('a sleeping thread wakes for an abort, a failure and a wrong digest, and cleans up', async (t) => {
  const started = async () => {
    const parts = await growing(t)
    fs.appendFileSync(parts.path, archive.subarray(0, 5000))
    parts.file.advance(5000)
    return parts
  }
  const aborted = await started()
  const controller = new AbortController()
  const first = aborted.place.unpack([], { source: aborted.file, signal: controller.signal })
  await begun(aborted.place, first)
  controller.abort(new Error('enough'))
  await assert.rejects(first, /enough/)
  const failed = await started()
  const second = failed.place.unpack([], { source: failed.file })
  await begun(failed.place, second)
  failed.file.fail(new Error('connection lost'))
  await assert.rejects(second, /connection lost/)
  const wrong = await started()
  const expectedDigest = `sha256:${'0'.repeat(64)}`
  const third = wrong.place.unpack([], { source: wrong.file, expectedDigest })
  wrong.file.finish(5000)
  await assert.rejects(third, IntegrityError)
  for (const { place } of [aborted, failed, wrong])
    assert.deepEqual(place.names(), ['download', 'layer.tar', 'outside'])
})
