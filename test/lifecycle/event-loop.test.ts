// SPDX-License-Identifier: MIT
// The process that owns containers stays responsive meanwhile.
import assert from 'node:assert/strict'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { needsContainers, useFixture } from '../integration/rootfs.ts'

const kRuns = 200
const kWorkers = 4
const kResolutionMs = 1
const kMaxAboveIdleMs = 50

const fixture = useFixture()

interface Delay {
  meanMs: number
  p99Ms: number
  maxMs: number
}

/** How late timers fire while `work` is under way. */
async function measure(work: () => Promise<unknown>): Promise<Delay> {
  const histogram = monitorEventLoopDelay({ resolution: kResolutionMs })
  histogram.enable()
  await work()
  histogram.disable()
  const toMs = (nanoseconds: number): number => nanoseconds / 1e6 - kResolutionMs
  return { meanMs: toMs(histogram.mean), p99Ms: toMs(histogram.percentile(99)), maxMs: toMs(histogram.max) }
}

function show(name: string, { meanMs, p99Ms, maxMs }: Delay): string {
  return `${name}: mean ${meanMs.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms, longest ${maxMs.toFixed(1)} ms`
}

test('the event loop is not held up', { timeout: 60_000 }, async (t) => {
  if (!needsContainers(t)) return
  // Loads the code and starts the launcher, once.
  await Promise.all(Array.from({ length: 10 }, () => fixture.run(['/bin/true'])))
  const idle = await measure(() => delay(1_000))
  const oneByOne = await measure(async () => {
    for (let i = 0; i < kRuns; i++) await fixture.run(['/bin/true'])
  })
  const atOnce = await measure(() =>
    Promise.all(
      Array.from({ length: kWorkers }, async () => {
        for (let i = 0; i < kRuns / kWorkers; i++) await fixture.run(['/bin/sh', '-c', 'echo out; echo err >&2'])
      }),
    ),
  )
  t.diagnostic(show('idle', idle))
  t.diagnostic(show(`${kRuns} runs one by one`, oneByOne))
  t.diagnostic(show(`${kRuns} runs, ${kWorkers} at once`, atOnce))
  assert.ok(oneByOne.p99Ms < idle.p99Ms + kMaxAboveIdleMs)
  assert.ok(atOnce.p99Ms < idle.p99Ms + kMaxAboveIdleMs)
})

test('much output does not hold it up either', { timeout: 60_000 }, async (t) => {
  if (!needsContainers(t)) return
  const idle = await measure(() => delay(300))
  const busy = await measure(async () => {
    const { stdout } = await fixture.run(['/bin/dd', 'if=/dev/zero', 'bs=65536', 'count=512'])
    assert.equal(stdout.length, 512 * 65_536)
  })
  t.diagnostic(show('32 MiB of output', busy))
  assert.ok(busy.p99Ms < idle.p99Ms + kMaxAboveIdleMs)
})
