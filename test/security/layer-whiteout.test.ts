import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { LayerError } from '../../lib/errors.ts'
import { type LayerPlace, layerPlace } from '../helpers/layer-fixture.ts'
import type { TarSpec } from '../helpers/make-tar.ts'

/** The layer is refused with the entry named, nothing of it stays, and what lies beside it is as before. */
async function refused(t: TestContext, entries: readonly TarSpec[], entry: string, reason: RegExp): Promise<void> {
  const place = layerPlace(t)
  await assert.rejects(place.unpack(entries), (error) => {
    assert.ok(error instanceof LayerError, String(error))
    assert.equal(error.code, 'ERR_LAYER')
    assert.equal(error.entry, entry)
    assert.match(error.message, reason)
    return true
  })
  assert.deepEqual(place.names(), ['layer.tar', 'outside'])
  untouched(place)
}

function untouched(place: LayerPlace): void {
  assert.deepEqual(fs.readdirSync(join(place.base, 'outside')), ['file'])
  const file = join(place.base, 'outside', 'file')
  assert.equal(fs.readFileSync(file, 'utf8'), 'untouched')
  assert.equal(fs.statSync(file).nlink, 1)
}

for (const name of ['.wh.', '.wh..', '.wh...', 'a/.wh...']) {
  test(`a whiteout of no name is refused: ${name}`, (t) => refused(t, [{ name }], name, /hides no name/))
}

for (const name of ['../.wh.outside', '../.wh..wh..opq', 'a/../../outside/.wh.file']) {
  test(`a whiteout out is refused: ${name}`, (t) => refused(t, [{ name }], name, /leads out of the layer/))
}

test('nothing lies beneath a whiteout', (t) => refused(t, [{ name: '.wh.x/file' }], '.wh.x/file', /beneath a whiteout/))

test('a whiteout removes nothing that the layer itself brings, and nothing outside', async (t) => {
  const place = layerPlace(t)
  await place.unpack([
    { name: 'd/file', body: 'kept' },
    { name: '.wh.d' },
    { name: 'd/.wh.file' },
    { name: 's', type: '2', linkName: join(place.base, 'outside') },
    { name: '.wh.s' },
    { name: 's/.wh.file' },
    { name: 's/.wh..wh..opq' },
  ])
  untouched(place)
  assert.equal(fs.readFileSync(join(place.target, 'd/file'), 'utf8'), 'kept')
})
