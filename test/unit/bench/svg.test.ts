// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { logAxis, renderPlot } from '../../../bench/svg.ts'

const kPlot = {
  title: 'start to exit',
  unit: 'ms',
  footer: 'Linux & <others>',
  groups: [
    {
      title: 'small',
      rows: [
        { label: 'wherry', low: 2, middle: 3, high: 9, highlight: true },
        { label: 'crun', low: 40, middle: 51, high: 120 },
      ],
    },
  ],
}

test('logAxis spans whole decades and puts equal factors at equal distances', () => {
  const axis = logAxis([2, 120])
  assert.deepEqual(axis.ticks, [1, 10, 100, 1_000])
  assert.ok(Math.abs(axis.x(10) - axis.x(1) - (axis.x(100) - axis.x(10))) < 1e-9)
})

test('logAxis has two ticks for no value, for one value and for a power of ten', () => {
  assert.deepEqual(logAxis([]).ticks, [1, 10])
  assert.deepEqual(logAxis([0, Number.NaN]).ticks, [1, 10])
  assert.deepEqual(logAxis([100]).ticks, [100, 1_000])
})

test('renderPlot writes one mark per row, escapes text and knows no NaN', () => {
  const svg = renderPlot(kPlot)
  assert.equal(svg.match(/<circle /g)?.length, 2)
  assert.match(svg, /Linux &amp; &lt;others&gt;/)
  assert.doesNotMatch(svg, /NaN|Infinity|undefined/)
  assert.ok(svg.startsWith('<svg ') && svg.endsWith('</svg>\n'))
})

test('renderPlot balances its elements', () => {
  const svg = renderPlot(kPlot)
  const opened = svg.match(/<(svg|text)[ >]/g)?.length
  const closed = svg.match(/<\/(svg|text)>/g)?.length
  assert.equal(opened, closed)
})
