// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, shuffled } from '../../../bench/random.ts'
import { decileDrift, median, pairedRatio, quantile, summarize } from '../../../bench/statistics.ts'

test('quantile interpolates between neighbours and reaches both ends', () => {
  assert.equal(quantile([1, 2, 3, 4], 0), 1)
  assert.equal(quantile([1, 2, 3, 4], 0.5), 2.5)
  assert.equal(quantile([1, 2, 3, 4], 1), 4)
  assert.equal(quantile([7], 0.99), 7)
  assert.ok(Number.isNaN(quantile([], 0.5)))
})

test('median does not mind the order and leaves its argument alone', () => {
  const values = [9, 1, 5]
  assert.equal(median(values), 5)
  assert.deepEqual(values, [9, 1, 5])
})

test('summarize sorts by number, not by text', () => {
  const { count, min, median: middle, max, mean } = summarize([100, 9, 20])
  assert.deepEqual({ count, min, middle, max, mean }, { count: 3, min: 9, middle: 20, max: 100, mean: 43 })
})

test('summarize of nothing counts 0 and is NaN elsewhere', () => {
  const { count, ...figures } = summarize([])
  assert.equal(count, 0)
  assert.ok(Object.values(figures).every(Number.isNaN))
})

test('pairedRatio uses only the rounds that both took part in', () => {
  const spawn = [2, 2, 2, 50].map((ms, round) => ({ round, ms }))
  const other = [6, 6, 6].map((ms, round) => ({ round, ms }))
  assert.equal(pairedRatio(other, spawn)?.ratio, 3)
  assert.equal(pairedRatio(other, [{ round: 9, ms: 1 }]), undefined)
})

test('pairedRatio holds its interval around the ratio, the same at each call', () => {
  const random = seededRandom(1)
  const base = Array.from({ length: 60 }, (_, round) => ({ round, ms: 4 + random() }))
  const twice = base.map(({ round, ms }) => ({ round, ms: ms * 2 + random() - 0.5 }))
  const answer = pairedRatio(twice, base)
  assert.ok(answer?.interval !== undefined)
  assert.ok(answer.interval.low <= answer.ratio && answer.ratio <= answer.interval.high)
  assert.ok(Math.abs(answer.ratio - 2) < 0.1)
  assert.deepEqual(pairedRatio(twice, base), answer)
})

test('pairedRatio has no interval under six rounds', () => {
  const samples = (count: number, ms: number) => Array.from({ length: count }, (_, round) => ({ round, ms }))
  assert.deepEqual(pairedRatio(samples(5, 6), samples(9, 2)), { ratio: 3, interval: undefined })
  assert.deepEqual(pairedRatio(samples(6, 6), samples(9, 2)), { ratio: 3, interval: { low: 3, high: 3 } })
})

test('decileDrift compares the first tenth with the last', () => {
  const values = Array.from({ length: 100 }, (_, index) => (index < 90 ? 10 : 12))
  assert.deepEqual(decileDrift(values), { firstMedian: 10, lastMedian: 12, ratio: 1.2 })
  assert.equal(decileDrift([3, 6]).ratio, 2)
})

test('seededRandom repeats itself, stays in [0, 1) and covers it evenly', () => {
  const [left, right] = [seededRandom(42), seededRandom(42)]
  const values = Array.from({ length: 10_000 }, () => left())
  assert.ok(values.every((value) => value === right() && value >= 0 && value < 1))
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  assert.ok(Math.abs(mean - 0.5) < 0.02)
})

test('shuffled keeps every item, puts each in each place, and leaves its argument alone', () => {
  const items = ['a', 'b', 'c']
  const random = seededRandom(7)
  const orders = new Set<string>()
  for (let count = 0; count < 200; count++) orders.add(shuffled(items, random).join(''))
  assert.deepEqual([...orders].sort(), ['abc', 'acb', 'bac', 'bca', 'cab', 'cba'])
  assert.deepEqual(items, ['a', 'b', 'c'])
})
