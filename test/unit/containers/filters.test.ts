// SPDX-License-Identifier: MIT
// What the filters of containers, volumes and events share: labels, and lists of words.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoredContainer } from '../../../lib/containers/container-store.ts'
import { checkContainerFilters } from '../../../lib/containers/filters.ts'
import { InvalidOptionError } from '../../../lib/errors.ts'
import { checkEventFilters } from '../../../lib/events/event-filters.ts'
import { checkVolumeFilters } from '../../../lib/volumes/volume-filters.ts'

const kLabels = { of: 'a=b', empty: '' }
const container = {
  record: { imageConfig: {}, options: { labels: kLabels } },
  state: { status: 'exited' },
} as unknown as StoredContainer

/** Whether labels fit, by each kind of filter. */
const kinds: Record<string, (label: string | string[]) => boolean> = {
  container: (label) => checkContainerFilters({ label })(container),
  volume: (label) =>
    checkVolumeFilters({ label }, ['label'])(
      { formatVersion: 1, name: 'v', createdAt: '', labels: kLabels, anonymous: false },
      false,
    ),
  event: (label) =>
    checkEventFilters({ label })({ type: 'volume', action: 'a', id: 'i', name: 'n', time: '', attributes: kLabels }),
}

for (const [kind, fits] of Object.entries(kinds)) {
  test(`labels of a filter of ${kind}s`, () => {
    for (const label of ['of', 'of=a=b', 'empty', 'empty=', ['of', 'empty']]) assert.ok(fits(label), String(label))
    // The last ones are names that every object of JavaScript knows.
    for (const label of [
      'o',
      'of=a',
      'of=',
      ['of', 'other'],
      'toString',
      'constructor',
      '__proto__',
      'other=undefined',
    ])
      assert.ok(!fits(label), String(label))
    for (const label of [5, null, [undefined], ['a', 1], { of: 'a' }]) {
      assert.throws(() => fits(label as never), InvalidOptionError, JSON.stringify(label))
    }
  })
}

test('states of a filter of containers', () => {
  assert.ok(checkContainerFilters({ status: ['running', 'exited'] })(container))
  assert.ok(!checkContainerFilters({ status: 'running' })(container))
  for (const status of ['dead', ['exited', 'dead'], 5]) {
    assert.throws(() => checkContainerFilters({ status: status as 'exited' }), InvalidOptionError)
  }
})
