// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UnsupportedHostError } from '../../../lib/errors.ts'
import { kMaxImageLayers, overlayLayers } from '../../../lib/plan/overlay-layers.ts'

test('the uppermost comes first, and each once, at its uppermost place', () => {
  assert.deepEqual(overlayLayers([]), [])
  assert.deepEqual(overlayLayers(['a', 'b', 'a', 'c']), ['c', 'a', 'b'])
})

test('the limit counts what is mounted', () => {
  const most = Array.from({ length: kMaxImageLayers }, (_, i) => `${i}`)
  assert.equal(overlayLayers([...most, ...most]).length, kMaxImageLayers)
  assert.throws(() => overlayLayers([...most, 'x']), UnsupportedHostError)
})
