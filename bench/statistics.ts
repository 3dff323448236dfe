// SPDX-License-Identifier: MIT
import { type Random, seededRandom } from './random.ts'

/** One timed run. `round` says which runs of different subjects were neighbours in time. */
export interface Sample {
  round: number
  ms: number
}

/** What is told about a list of durations; every figure is in the unit of the values given. */
export interface Summary {
  count: number
  min: number
  p5: number
  median: number
  p95: number
  p99: number
  max: number
  mean: number
}

/** A ratio of medians and, where there are rounds enough, the interval that holds it with 95 % confidence. */
export interface Ratio {
  ratio: number
  interval: { low: number; high: number } | undefined
}

/** With fewer rounds a bootstrap draws from so few medians that its interval says nothing. */
const kLeastRounds = 6

/**
 * Reads a quantile of values that are sorted upwards, with linear interpolation between neighbours.
 * @param fraction — 0 to 1
 * @returns NaN for an empty list
 */
export function quantile(sorted: readonly number[], fraction: number): number {
  if (sorted.length === 0) return Number.NaN
  const position = (sorted.length - 1) * fraction
  const below = Math.floor(position)
  const low = sorted[below] as number
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number
  return low + (high - low) * (position - below)
}

/** Returns the values sorted upwards; the argument is left as it is. */
export function ascending(values: readonly number[]): number[] {
  return [...values].sort((left, right) => left - right)
}

/** Returns the middle value, or NaN for an empty list. */
export function median(values: readonly number[]): number {
  return quantile(ascending(values), 0.5)
}

/** Summarises durations; every field but `count` is NaN for an empty list. */
export function summarize(values: readonly number[]): Summary {
  const sorted = ascending(values)
  return {
    count: sorted.length,
    min: quantile(sorted, 0),
    p5: quantile(sorted, 0.05),
    median: quantile(sorted, 0.5),
    p95: quantile(sorted, 0.95),
    p99: quantile(sorted, 0.99),
    max: quantile(sorted, 1),
    mean: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
  }
}

/**
 * Divides the median of one subject by the median of another, over the rounds that both took part in.
 *
 * The interval is a bootstrap over whole rounds: a slow minute of the machine hits both subjects of a round,
 * so drawing rounds, and not single samples, keeps what they have in common.
 * @param resamples — how often to draw. Default: 1,000
 * @returns undefined where no round has both; without an interval where fewer than six have
 */
export function pairedRatio(of: readonly Sample[], to: readonly Sample[], resamples = 1_000): Ratio | undefined {
  const pairs = pairByRound(of, to)
  if (pairs.length === 0) return undefined
  const ratio = ratioOfMedians(pairs)
  if (pairs.length < kLeastRounds) return { ratio, interval: undefined }
  const random = seededRandom(pairs.length)
  const drawn: number[] = []
  for (let count = 0; count < resamples; count++) drawn.push(ratioOfMedians(draw(pairs, random)))
  const sorted = ascending(drawn)
  return { ratio, interval: { low: quantile(sorted, 0.025), high: quantile(sorted, 0.975) } }
}

type Pair = readonly [of: number, to: number]

function pairByRound(of: readonly Sample[], to: readonly Sample[]): Pair[] {
  const reference = new Map(to.map((sample) => [sample.round, sample.ms]))
  return of.flatMap((sample) => {
    const other = reference.get(sample.round)
    return other === undefined ? [] : [[sample.ms, other] as const]
  })
}

function draw(pairs: readonly Pair[], random: Random): Pair[] {
  return pairs.map(() => pairs[Math.floor(random() * pairs.length)] as Pair)
}

function ratioOfMedians(pairs: readonly Pair[]): number {
  return median(pairs.map(([of]) => of)) / median(pairs.map(([, to]) => to))
}

/**
 * Compares the beginning of a long run with its end.
 * @returns medians of the first and of the last tenth, and last / first
 */
export function decileDrift(values: readonly number[]): { firstMedian: number; lastMedian: number; ratio: number } {
  const size = Math.max(1, Math.floor(values.length / 10))
  const firstMedian = median(values.slice(0, size))
  const lastMedian = median(values.slice(-size))
  return { firstMedian, lastMedian, ratio: lastMedian / firstMedian }
}
