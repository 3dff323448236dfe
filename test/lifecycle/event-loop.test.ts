// SPDX-License-Identifier: MIT
// The process that owns containers stays responsive meanwhile.
import assert from 'node:assert/strict'
import { closeSync, openSync, readSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { needsContainers, useFixture } from '../integration/rootfs.ts'

const kRuns = 200
const kWorkers = 4
const kResolutionMs = 1
const kMaxAboveIdleMs = 50
/** What holds up the loop does so each time; a busy host does now and then. */
const kAttempts = 4

const kTimeout = { timeout: 240_000 }

const fixture = useFixture()

interface Delay {
  meanMs: number
  p99Ms: number
  maxMs: number
}

/** Nanoseconds for which the main thread was ready and had no processor, on a busy host. @source proc schedstat, kernel documentation */
function waitedNs(fd: number, buffer: Buffer): number {
  const length = readSync(fd, buffer, 0, buffer.length, 0)
  return Number(buffer.toString('latin1', 0, length).split(' ')[1] ?? 0)
}

/** How late timers fire while `work` is under way, but for what others have kept the processors busy. */
async function measure(work: () => Promise<unknown>): Promise<Delay> {
  const fd = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r')
  const buffer = Buffer.alloc(128)
  const delays: number[] = []
  let last = { atMs: performance.now(), waitedNs: waitedNs(fd, buffer) }
  const look = (): void => {
    const now = { atMs: performance.now(), waitedNs: waitedNs(fd, buffer) }
    delays.push(now.atMs - last.atMs - (now.waitedNs - last.waitedNs) / 1e6 - kResolutionMs)
    last = now
  }
  const timer = setInterval(look, kResolutionMs)
  try {
    await work()
    // What has held up the end of the work counts too.
    look()
  } finally {
    clearInterval(timer)
    closeSync(fd)
  }
  delays.sort((a, b) => a - b)
  const at = (share: number): number => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))] ?? 0
  return { meanMs: delays.reduce((sum, ms) => sum + ms, 0) / delays.length, p99Ms: at(0.99), maxMs: at(1) }
}

function show(name: string, { meanMs, p99Ms, maxMs }: Delay): string {
  return `${name}: mean ${meanMs.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms, longest ${maxMs.toFixed(1)} ms`
}

/** Asserts that the loop is not held up while `work` is under way, at one attempt at least. */
async function assertFree(t: TestContext, name: string, work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const idle = await measure(() => delay(1_000))
    const busy = await measure(work)
    t.diagnostic(`${show('idle', idle)}; ${show(name, busy)}`)
    if (busy.p99Ms < idle.p99Ms + kMaxAboveIdleMs) return
    assert.ok(attempt < kAttempts, `${name} hold up the event loop`)
  }
}

test('the event loop is not held up', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  // Loads the code and starts the launcher, once.
  await Promise.all(Array.from({ length: 10 }, () => fixture.run(['/bin/true'])))
  await assertFree(t, `${kRuns} runs one by one`, async () => {
    for (let i = 0; i < kRuns; i++) await fixture.run(['/bin/true'])
  })
  await assertFree(t, `${kRuns} runs, ${kWorkers} at once,`, () =>
    Promise.all(
      Array.from({ length: kWorkers }, async () => {
        for (let i = 0; i < kRuns / kWorkers; i++) await fixture.run(['/bin/sh', '-c', 'echo out; echo err >&2'])
      }),
    ),
  )
})

test('much output does not hold it up either', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await assertFree(t, '32 MiB of output', async () => {
    const { stdout } = await fixture.run(['/bin/dd', 'if=/dev/zero', 'bs=65536', 'count=512'])
    assert.equal(stdout.length, 512 * 65_536)
  })
})
