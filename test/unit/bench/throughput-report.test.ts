// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type {
  IdleMemoryResult,
  JobResult,
  LatencyResult,
  LeftoverCounts,
  ThroughputResult,
} from '../../../bench/job.ts'
import { formatResults, listFailures } from '../../../bench/report.ts'
import { formatTargets } from '../../../bench/target.ts'
import { judgeTargets } from '../../../bench/targets.ts'
import { formatIdleMemory, formatThroughput, leftBehind } from '../../../bench/throughput-report.ts'
import { kCounts } from './counts.ts'

function manyAtOnce(name: string, perSecond: number, after: LeftoverCounts = kCounts) {
  const samples = [90, 100, 110]
  const block = { concurrency: 50, samples, wallMs: 3_000 / perSecond, perSecond, machineBusyMsPerRun: 1 }
  return { name, block, loop: { p50: 1, p99: 7.5, max: 9 }, before: kCounts, after }
}

function throughput(...subjects: ThroughputResult['subjects']): ThroughputResult {
  return { kind: 'throughput', idle: { p50: 1, p99: 1.5, max: 2 }, subjects }
}

function idleMemory(...rows: IdleMemoryResult['rows']): IdleMemoryResult {
  return { kind: 'idle-memory', rows }
}

/** P2 with the same time in each round. */
function programs(times: Record<string, number>): LatencyResult {
  const subjects = Object.entries(times).map(([name, ms]) => ({
    name,
    interleaved: [0, 1, 2].map((round) => ({ round, ms })),
  }))
  const sizes = { residentTargetBytes: 54e6, residentBytes: 80e6, hugePageBytes: 0, peerSeccompEntries: 0 }
  return { kind: 'latency', work: 'exec', cgroups: 'v1', ...sizes, subjects }
}

const linesOf = (result: JobResult): string[] => formatTargets(judgeTargets([result])).split('\n')

test('P2 is judged by spawn and by crun, and its tables say what it is', () => {
  const result = programs({ wherry: 3, spawn: 4, crun: 24 })
  assert.deepEqual(linesOf(result), [
    'P2  wherry exec / spawn at 80 MB: ≤ 0.7 ×, measured 0.75 × ✗',
    'P2  crun exec / wherry exec at 80 MB: ≥ 10 ×, measured 8.00 × ✗',
  ])
  assert.match(formatResults([result]), /^P2, a program in a running container, interleaved/)
  assert.deepEqual(linesOf(programs({ wherry: 2, spawn: 4 })), [
    'P2  wherry exec / spawn at 80 MB: ≤ 0.7 ×, measured 0.50 × ✓',
    'P2  crun exec / wherry exec at 80 MB: ≥ 10 ×, not measured: crun is not among the subjects',
  ])
})

test('P4 is judged by throughput, by what is left, and by the event loop', () => {
  const after = { ...kCounts, fds: 22, mounts: 29, residentBytes: 90e6 }
  assert.deepEqual(linesOf(throughput(manyAtOnce('wherry', 230, after), manyAtOnce('crun', 20))), [
    'P4  wherry / crun, containers a second, 50 at once: ≥ 10 ×, measured 11.5 × ✓',
    'P4  things left behind: ≤ 0, measured 2.00 ✗',
    'P6  event-loop delay p99 above idle, many containers at once: ≤ 5 ms, measured 6.00 ms ✗',
  ])
})

test('P4 without crun, or with our failure, is not measured, for that reason', () => {
  const [alone, ...others] = linesOf(throughput(manyAtOnce('wherry', 230)))
  assert.match(alone ?? '', /≥ 10 ×, not measured: crun is not among the subjects$/)
  assert.ok(others.every((line) => /, measured /.test(line)))
  const broken = throughput({ ...manyAtOnce('wherry', 230), failed: 'broken' }, manyAtOnce('crun', 20))
  assert.ok(linesOf(broken).every((line) => line.endsWith('not measured: it failed: broken')))
  assert.deepEqual(listFailures([broken]), ['wherry: broken'])
})

test('the table of P4 has throughput, ratio, what is left, and who is missing', () => {
  const missing = { name: 'crun', skipped: 'crun is not installed' }
  const text = formatThroughput(throughput(manyAtOnce('wherry', 230), manyAtOnce('other', 23), missing))
  assert.match(text, /^P4, 50 containers at once$/m)
  assert.match(text, /^\| wherry +\| +3 \| +230 \| +– \| +100 \| +110 \| +0 \| +6\.00 \|$/m)
  assert.match(text, /^\| other +\| +3 \| +23\.0 \| +10\.0 × \|/m)
  assert.match(text, /^\| crun +\| not measured \|/m)
  assert.match(text, /^- crun not measured: crun is not installed$/m)
})

test('things that are fewer afterwards make up for none that are more, and memory is no thing', () => {
  assert.equal(leftBehind(kCounts, { ...kCounts, fds: 10, cgroups: 11, residentBytes: 99e6 }), 2)
  assert.equal(leftBehind(kCounts, undefined), undefined)
})

test('P7 is judged by our own row, and its table has those of the peers', () => {
  const peer = { name: 'conmon (podman)', containers: 3, bytesPerContainer: 664e3 }
  const missing = { name: 'containerd-shim (dockerd)', containers: 3, skipped: 'dockerd is not installed' }
  const result = idleMemory({ name: 'wherry', containers: 50, bytesPerContainer: 85_400 }, peer, missing)
  assert.deepEqual(linesOf(result), [
    'P7  memory per idle container beyond its own processes: ≤ 100 KB, measured 85.4 KB ✓',
  ])
  const text = formatIdleMemory(result)
  assert.match(text, /^\| wherry +\| +50 \| +85 \|$/m)
  assert.match(text, /^\| conmon \(podman\) +\| +3 \| +664 \|$/m)
  assert.match(text, /^\| containerd-shim \(dockerd\) +\| not measured \|/m)
  assert.match(text, /^- containerd-shim \(dockerd\) not measured: dockerd is not installed$/m)
})

test('P7 without our row, or with a failed one, is not measured; only our failure is one', () => {
  const peer = { name: 'conmon (podman)', containers: 3, failed: 'no process of conmon was found' }
  assert.match(linesOf(idleMemory(peer))[0] ?? '', /not measured: wherry is not among the subjects$/)
  assert.deepEqual(listFailures([idleMemory(peer)]), [])
  const failed = idleMemory({ name: 'wherry', containers: 50, failed: 'broken' }, peer)
  assert.match(linesOf(failed)[0] ?? '', /not measured: it failed: broken$/)
  assert.deepEqual(listFailures([failed]), ['wherry: broken'])
})
