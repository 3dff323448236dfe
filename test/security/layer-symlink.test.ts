import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { refused, untouched } from '../helpers/hostile-layer.ts'
import { layerPlace } from '../helpers/layer-fixture.ts'

const kUp = '../'.repeat(30)

for (const link of ['/', '../outside', 'OUTSIDE', `${kUp}OUTSIDE`]) {
  test(`a path through a symbolic link to ${link} stays inside`, async (t) => {
    const place = layerPlace(t)
    const outside = join(place.base, 'outside')
    const linkName = link.replace('OUTSIDE', outside.slice(link.startsWith('..') ? 1 : 0))
    await place.unpack([
      { name: 'link', type: '2', linkName },
      { name: 'x', pax: { path: 'link/file' }, body: 'evil' },
      { name: 'x', pax: { path: 'link/sub/file' }, body: 'evil' },
      { name: 'x', pax: { path: `link${outside}/file` }, body: 'evil' },
      { name: 'link/.wh.file' },
      { name: 'link/fifo', type: '6' },
      { name: 'link/dir/', type: '5', mode: 0o777 },
    ])
    untouched(place)
    assert.ok(fs.lstatSync(join(place.target, 'link')).isSymbolicLink())
  })
}

test('a symbolic link within the layer is followed as in a root of its own', async (t) => {
  const place = layerPlace(t)
  await place.unpack([
    { name: 'usr/lib/', type: '5', mtime: 5 },
    { name: 'lib', type: '2', linkName: '/usr/lib' },
    { name: 'x/y', type: '2', linkName: '../../../../lib' },
    { name: 'x/y/file', body: 'here' },
  ])
  assert.equal(fs.readFileSync(join(place.target, 'usr/lib/file'), 'utf8'), 'here')
  assert.equal(fs.statSync(join(place.target, 'usr/lib')).mtimeMs, 5000)
})

test('a name that follows others of its directory goes where its path leads by then', async (t) => {
  const place = layerPlace(t)
  await place.unpack([
    { name: 'real/', type: '5' },
    { name: 'other/', type: '5' },
    { name: 'link', type: '2', linkName: 'real' },
    { name: 'link/first', body: '1' },
    { name: 'link/second', body: '2' },
    { name: 'link', type: '2', linkName: 'other' },
    { name: 'link/third', body: '3' },
    { name: 'link/first/deep', body: '4' },
    { name: 'link/first', type: '2', linkName: '/real' },
    { name: 'link/first/fourth', body: '5' },
  ])
  untouched(place)
  assert.deepEqual(fs.readdirSync(join(place.target, 'real')).sort(), ['first', 'fourth', 'second'])
  assert.deepEqual(fs.readdirSync(join(place.target, 'other')).sort(), ['first', 'third'])
})

test('dots beside a name are no names', async (t) => {
  await refused(
    t,
    [
      { name: 'd/f', body: 'x' },
      { name: 'd/..', body: 'y' },
    ],
    'd/..',
    /replace the root of the layer/,
  )
  await refused(
    t,
    [
      { name: 'd/f', body: 'x' },
      { name: 'd/../../g', body: 'y' },
    ],
    'd/../../g',
    /leads out/,
  )
  const place = layerPlace(t)
  await place.unpack([
    { name: 'd/f', body: 'x' },
    { name: 'd/.', body: 'a file now' },
  ])
  assert.equal(fs.readFileSync(join(place.target, 'd'), 'utf8'), 'a file now')
})

test('the last component is never followed: a file replaces the link', async (t) => {
  const place = layerPlace(t)
  const linkName = join(place.base, 'outside', 'file')
  await place.unpack([
    { name: 'a', type: '2', linkName },
    { name: 'a', body: 'evil', mode: 0o777 },
    { name: 'b', type: '2', linkName: join(place.base, 'outside') },
    { name: 'b', type: '5' },
    { name: 'b/file', body: 'evil' },
    { name: 'c', type: '2', linkName, uid: 4242, mtime: 1, mode: 0o777 },
  ])
  untouched(place)
  assert.equal(fs.statSync(linkName).uid, process.getuid?.())
  assert.equal(fs.readFileSync(join(place.target, 'a'), 'utf8'), 'evil')
  assert.ok(fs.lstatSync(join(place.target, 'b')).isDirectory())
})

test('links in circles are refused', (t) =>
  refused(
    t,
    [{ name: 'a', type: '2', linkName: 'b' }, { name: 'b', type: '2', linkName: 'a' }, { name: 'a/x' }],
    'a/x',
    /too many symbolic links/,
  ))

test('a link to a magic link of /proc leads nowhere', async (t) => {
  const place = layerPlace(t)
  await place.unpack([
    { name: 'p', type: '2', linkName: '/proc/self/cwd' },
    { name: 'p/wherry-evil', body: 'x' },
  ])
  assert.ok(!fs.existsSync('wherry-evil'))
  assert.ok(fs.existsSync(join(place.target, 'proc/self/cwd/wherry-evil')))
})
