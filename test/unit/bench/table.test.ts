// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatInterval, formatMegabytes, formatMs, formatRatio, formatTable } from '../../../bench/table.ts'

test('formatTable lines up columns as Markdown, numbers to the right', () => {
  const columns = [
    { title: 'subject', align: 'left' },
    { title: 'ms', align: 'right' },
  ] as const
  const rows = [['spawn', '4.52'], ['wherry']]
  assert.equal(
    formatTable(columns, rows),
    ['| subject |   ms |', '| ------- | ---: |', '| spawn   | 4.52 |', '| wherry  |      |'].join('\n'),
  )
})

test('formatTable keeps a cell in its cell', () => {
  const text = formatTable([{ title: 'why', align: 'left' }], [['a|b\nc']])
  assert.equal(text.split('\n').at(-1), '| a\\|b c |')
})

test('formatMs keeps three significant digits', () => {
  assert.deepEqual([0.1234, 4.523, 38.06, 989.4, Number.NaN].map(formatMs), ['0.12', '4.52', '38.1', '989', '–'])
})

test('formatInterval has a dash where there is no interval', () => {
  assert.equal(formatInterval({ ratio: 1, interval: { low: 0.5, high: 12.34 } }), '0.50–12.3')
  assert.equal(formatInterval({ ratio: 1, interval: undefined }), '–')
  assert.equal(formatInterval(undefined), '–')
})

test('formatRatio and formatMegabytes carry their units', () => {
  assert.equal(formatRatio(0.834), '0.83 ×')
  assert.equal(formatRatio(Number.NaN), '–')
  assert.equal(formatMegabytes(54_321_000), '54.3 MB')
  assert.equal(formatMegabytes(1_500_000, true), '+1.5 MB')
  assert.equal(formatMegabytes(-1_500_000, true), '-1.5 MB')
})
