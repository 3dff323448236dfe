import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import zlib from 'node:zlib'
import { LayerError } from '../../lib/errors.ts'
import type { LayerLimits } from '../../lib/layer/limits.ts'
import { type LayerPlace, layerPlace } from '../helpers/layer-fixture.ts'
import type { TarSpec } from '../helpers/make-tar.ts'

/** The layer is refused with the entry named, nothing of it stays, and what lies beside it is as before. */
async function refused(
  t: TestContext,
  entries: readonly TarSpec[],
  entry: string,
  reason: RegExp,
  limits?: Partial<LayerLimits>,
): Promise<void> {
  const place = layerPlace(t)
  await assert.rejects(place.unpack(entries, { limits }), (error) => {
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
