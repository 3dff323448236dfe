// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidOptionError } from '../../../lib/errors.ts'
import { checkImageFilters } from '../../../lib/options/image-filters.ts'

const kNow = Date.parse('2026-01-10T00:00:00Z')
const image = {
  references: ['docker.io/library/alpine:3.20', 'ghcr.io/o/r:v1.2'],
  labels: { stage: 'test', empty: '' },
  createdMs: Date.parse('2026-01-01T00:00:00Z'),
}

function fits(filters: object, facts = image): boolean {
  return checkImageFilters(filters, kNow).fits(facts)
}

test('reference patterns match as Docker matches them', () => {
  const yes = [
    'alpine',
    'alpine:3.20',
    'al*',
    'alpine:*',
    '*',
    '*:3.2?',
    'ghcr.io/*/*',
    'ghcr.io/o/r',
    'ghcr.io/o/r:v[0-9].2',
  ]
  for (const pattern of [
    ...yes,
    'docker.io/library/alpine',
    'alpine:3\\.20',
    '[^b]lpine',
    'docker.io/library/alpine:3.20',
  ]) {
    assert.ok(fits({ reference: pattern }), pattern)
  }
  for (const pattern of ['alp', 'ghcr.io/*', 'busybox', 'alpine:3', 'o/r', '*/*/*/*', 'alpine.3:20']) {
    assert.ok(!fits({ reference: pattern }), pattern)
  }
  assert.ok(fits({ reference: ['busybox', 'alpine'] }))
  for (const pattern of ['[', 'a[', '[]', 'x\\', '[z-a]']) {
    assert.throws(() => fits({ reference: pattern }), InvalidOptionError, pattern)
  }
})

test('labels, dates and names narrow down together', () => {
  assert.ok(fits({ label: 'stage' }) && fits({ label: ['stage=test', 'empty='] }))
  assert.ok(!fits({ label: 'stage=tes' }) && !fits({ label: ['stage', 'other'] }) && !fits({ label: 'toString' }))
  assert.ok(fits({ notLabel: 'other' }) && !fits({ notLabel: ['other', 'stage=test'] }))
  assert.ok(!fits({ dangling: true }) && fits({ dangling: false }))
  assert.ok(fits({ dangling: true }, { ...image, references: [] }))
  assert.ok(fits({ until: '24h' }) && fits({ until: '8d12h30m' }) && !fits({ until: '240h' }))
  assert.ok(fits({ until: '2026-01-02' }) && !fits({ until: new Date('2025-12-31') }))
  const dates = checkImageFilters({ before: 'x', since: 'y' }, kNow)
  assert.ok(dates.fits(image, { beforeMs: kNow, sinceMs: 0 }) && !dates.fits(image, { beforeMs: 0 }))
  assert.ok(!dates.fits(image, { sinceMs: image.createdMs }))
})

test('says what is wrong', () => {
  for (const filters of [
    { refrence: 'x' },
    { until: 'soon' },
    { until: '24' },
    { dangling: 'yes' },
    { label: [1] },
    [],
  ]) {
    assert.throws(() => fits(filters), InvalidOptionError, JSON.stringify(filters))
  }
})
