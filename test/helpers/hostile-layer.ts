// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { LayerError } from '../../lib/errors.ts'
import type { LayerLimits } from '../../lib/layer/limits.ts'
import { type LayerPlace, layerPlace } from './layer-fixture.ts'
import type { TarSpec } from './make-tar.ts'

/** The layer is refused with the entry named, nothing of it stays, and what lies beside it is as before. */
export async function refused(
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

/** What lies beside the layer is as before. */
export function untouched(place: LayerPlace): void {
  assert.deepEqual(readdirSync(join(place.base, 'outside')), ['file'])
  const file = join(place.base, 'outside', 'file')
  assert.equal(readFileSync(file, 'utf8'), 'untouched')
  assert.equal(statSync(file).nlink, 1)
}
