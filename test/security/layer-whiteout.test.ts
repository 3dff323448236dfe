import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { refused, untouched } from '../helpers/hostile-layer.ts'
import { layerPlace } from '../helpers/layer-fixture.ts'

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
