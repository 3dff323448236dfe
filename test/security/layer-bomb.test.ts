import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { refused } from '../helpers/hostile-layer.ts'
import { layerPlace } from '../helpers/layer-fixture.ts'

test('more bytes than allowed, before one is written', (t) =>
  refused(t, [{ name: 'big', sizeBytes: 10 * 1024 ** 3 }], 'big', /more than 1000000 bytes/, { maxBytes: 1_000_000 }))

test('a hole counts like any content', (t) => {
  const pax = { 'GNU.sparse.size': String(1024 ** 4), 'GNU.sparse.map': '' }
  return refused(t, [{ name: 'hole', pax }], 'hole', /more than 1000000 bytes/, { maxBytes: 1_000_000 })
})

test('more entries than allowed', (t) => {
  const entries = Array.from({ length: 11 }, (_, i) => ({ name: `f${i}` }))
  return refused(t, entries, 'f10', /more than 10 entries/, { maxEntries: 10 })
})

test('a path that is too deep or too long', async (t) => {
  await refused(t, [{ name: 'a/b/c/d/e' }], 'a/b/c/d/e', /deeper than 3/, { maxPathDepth: 3 })
  await refused(t, [{ name: 'a'.repeat(60) }], 'a'.repeat(60), /longer than 50 bytes/, { maxNameBytes: 50 })
  const name = 'n'.repeat(300)
  await refused(t, [{ name: 'x', pax: { path: name } }], `${name.slice(0, 200)}…`, /too long/)
})

test('ten gigabytes of zeros in ten kilobytes stop at the limit', async (t) => {
  const place = layerPlace(t)
  const zeros = zlib.gzipSync(Buffer.alloc(1 << 26))
  const archive = Buffer.concat([zlib.gzipSync(Buffer.alloc(1024)), ...Array.from({ length: 40 }, () => zeros)])
  await assert.rejects(place.unpack(archive, { limits: { maxBytes: 1_000_000 } }), /too many bytes follow the end mark/)
  assert.deepEqual(place.names(), ['layer.tar', 'outside'])
})

test('owners beyond 32 bits', async (t) => {
  for (const uid of ['4294967295', '4294967296']) {
    await refused(t, [{ name: 'f', pax: { uid } }], 'f', /out of range/)
  }
})
