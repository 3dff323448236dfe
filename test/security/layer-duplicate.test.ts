import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { refused, untouched } from '../helpers/hostile-layer.ts'
import { layerPlace } from '../helpers/layer-fixture.ts'
import type { TarSpec } from '../helpers/make-tar.ts'

const kinds: TarSpec[] = [
  { name: 'x', body: 'text' },
  { name: 'x', type: '5' },
  { name: 'x', type: '2', linkName: '../outside/file' },
  { name: 'x', type: '6' },
  { name: 'x', type: '1', linkName: 'other' },
]
const modeType = (path: string) => fs.lstatSync(path).mode & fs.constants.S_IFMT

for (const first of kinds) {
  for (const second of kinds) {
    test(`the later entry stands: type ${first.type ?? '0'}, then ${second.type ?? '0'}`, async (t) => {
      const place = layerPlace(t)
      const other = { name: 'other', body: 'other' }
      await place.unpack([other, first, ...(first.type === '5' ? [{ name: 'x/in/side', body: 'i' }] : []), second])
      untouched(place)
      const alone = layerPlace(t)
      await alone.unpack([other, second])
      assert.equal(modeType(join(place.target, 'x')), modeType(join(alone.target, 'x')))
      const isMerged = first.type === '5' && second.type === '5'
      assert.equal(fs.existsSync(join(place.target, 'x/in/side')), isMerged)
      assert.equal(fs.readFileSync(join(place.target, 'other'), 'utf8'), 'other')
    })
  }
}

test('a hard-linked file that is replaced leaves its other name alone', async (t) => {
  const place = layerPlace(t)
  await place.unpack([
    { name: 'a', body: 'first' },
    { name: 'b', type: '1', linkName: 'a' },
    { name: 'b', body: 'second', mode: 0o777 },
  ])
  assert.equal(fs.readFileSync(join(place.target, 'a'), 'utf8'), 'first')
  assert.equal(fs.statSync(join(place.target, 'a')).mode & 0o777, 0o644)
})

test('a deep directory is replaced by a file', async (t) => {
  const place = layerPlace(t)
  const deep = Array.from({ length: 300 }, (_, i) => `d${i}`).join('/')
  await place.unpack([
    { name: 'x', pax: { path: `x/${deep}/f` }, body: 'a' },
    { name: 'x', body: 'flat' },
  ])
  assert.equal(fs.readFileSync(join(place.target, 'x'), 'utf8'), 'flat')
})

test('a file as a directory in the middle of a path', (t) =>
  refused(t, [{ name: 'f', body: 'x' }, { name: 'f/g' }], 'f/g', /is not a directory/))
