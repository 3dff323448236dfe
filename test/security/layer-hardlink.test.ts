import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { LayerError } from '../../lib/errors.ts'
import { refused, untouched } from '../helpers/hostile-layer.ts'
import { layerPlace } from '../helpers/layer-fixture.ts'

for (const linkName of ['../outside/file', 'a/../../outside/file', '..']) {
  test(`a hard link out is refused: ${linkName}`, (t) =>
    refused(
      t,
      [
        { name: 'a', type: '5' },
        { name: 'evil', type: '1', linkName },
      ],
      'evil',
      /outside of the layer/,
    ))
}

test('a hard link to an absolute name means the layer', async (t) => {
  const place = layerPlace(t)
  const linkName = join(place.base, 'outside', 'file')
  const link = { name: 'evil', type: '1', linkName: 'x', pax: { linkpath: linkName } }
  await assert.rejects(place.unpack([link]), /hard link to a file|does not exist in this layer/)
  untouched(place)
})

test('a hard link through a symbolic link stays inside', async (t) => {
  const place = layerPlace(t)
  const link = { name: 'd', type: '2', linkName: join(place.base, 'outside') }
  await assert.rejects(place.unpack([link, { name: 'evil', type: '1', linkName: 'd/file' }]), LayerError)
  untouched(place)
})

test('a hard link to a symbolic link is one to the link; a write through the name replaces it', async (t) => {
  const place = layerPlace(t)
  const linkName = join(place.base, 'outside', 'file')
  await place.unpack([
    { name: 's', type: '2', linkName },
    { name: 'h', type: '1', linkName: 's' },
    { name: 'h', body: 'evil' },
  ])
  untouched(place)
})

test('a hard link to a directory, to a whiteout, to itself', async (t) => {
  await refused(
    t,
    [
      { name: 'd', type: '5' },
      { name: 'h', type: '1', linkName: 'd' },
    ],
    'h',
    /to a directory/,
  )
  await refused(t, [{ name: '.wh.w' }, { name: 'h', type: '1', linkName: 'w' }], 'h', /the layer hides/)
  const place = layerPlace(t)
  await place.unpack([
    { name: 'f', body: 'x' },
    { name: './f', type: '1', linkName: 'f' },
  ])
  assert.equal(fs.readFileSync(join(place.target, 'f'), 'utf8'), 'x')
})

test('a hard link that would replace the directory of its own target is refused', (t) =>
  refused(
    t,
    [
      { name: 'a/file', body: 'x' },
      { name: 'a', type: '1', linkName: 'a/file' },
    ],
    'a',
    /replace what it is a hard link to/,
  ))
