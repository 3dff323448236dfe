import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { refused, untouched } from '../helpers/hostile-layer.ts'
import { layerPlace } from '../helpers/layer-fixture.ts'

for (const name of ['../outside/file', 'a/../../outside/file', '..', './../x', 'a/b/../../../x']) {
  for (const type of ['0', '5', '2', '6']) {
    test(`a name that leads out is refused: ${name}, type ${type}`, (t) =>
      refused(
        t,
        [
          { name: 'a', type: '5' },
          { name, type, linkName: 'x', body: type === '0' ? 'evil' : '' },
        ],
        name,
        /leads out of the layer/,
      ))
  }
}

test('a name in a PAX record or a GNU long name is judged alike', async (t) => {
  await refused(t, [{ name: 'x', pax: { path: '../outside/file' }, body: 'evil' }], '../outside/file', /leads out/)
  const long = { name: '././@LongLink', type: 'L', body: '../outside/file\0', format: 'gnu' } as const
  await refused(t, [long, { name: 'x', body: 'evil', format: 'gnu' }], '../outside/file', /leads out/)
})

test('an absolute name is taken as one beneath the root of the layer, above which there is nothing', async (t) => {
  const place = layerPlace(t)
  const outside = join(place.base, 'outside', 'file')
  await place.unpack([
    { name: 'x', pax: { path: outside }, body: 'evil' },
    { name: '/../../up', body: 'evil' },
  ])
  untouched(place)
  assert.equal(fs.readFileSync(join(place.target, outside), 'utf8'), 'evil')
  assert.equal(fs.readFileSync(join(place.target, 'up'), 'utf8'), 'evil')
})

test('the root of the layer cannot be replaced', (t) =>
  refused(t, [{ name: './', type: '2', linkName: '/etc' }], './', /root of the layer/))
