// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EnduranceResult, LatencyResult } from '../../../bench/job.ts'
import { formatResults, listFailures, plotGroups } from '../../../bench/report.ts'
import { formatTargets } from '../../../bench/target.ts'
import { judgeTargets } from '../../../bench/targets.ts'
import { kCounts } from './counts.ts'

const block = (ms: number) => ({
  concurrency: 1,
  samples: [ms, ms],
  wallMs: ms * 2,
  perSecond: 1_000 / ms,
  machineBusyMsPerRun: ms,
})

const measured = (name: string, ms: number) => ({
  name,
  interleaved: [0, 1, 2].map((round) => ({ round, ms })),
  sequential: block(ms),
  concurrent: { ...block(ms), concurrency: 8 },
})

const kLatency: LatencyResult = {
  kind: 'latency',
  work: 'run',
  residentTargetBytes: 54e6,
  residentBytes: 54e6,
  hugePageBytes: 0,
  cgroups: 'v1',
  peerSeccompEntries: 0,
  subjects: [
    measured('wherry', 3),
    measured('spawn', 4),
    measured('crun', 60),
    { name: 'dockerd', skipped: 'dockerd is not installed', interleaved: [] },
  ],
}

const kEndurance: EnduranceResult = {
  kind: 'endurance',
  subject: 'wherry',
  durations: Array.from({ length: 100 }, () => 3),
  before: kCounts,
  after: { ...kCounts, residentBytes: 51e6, fds: 22 },
  closed: kCounts,
  newNames: [],
}

test('a table has ratios to the yardstick and to the library, and says why a subject is missing', () => {
  const text = formatResults([kLatency])
  assert.match(text, /\| wherry +\| +3 \| +3\.00 \| +3\.00 \| +3\.00 \| +0\.75 × /)
  assert.match(text, /\| crun .* 20\.0 × \|$/m)
  assert.match(text, /crun and runc without a seccomp filter/)
  assert.match(text, /^- dockerd not measured: dockerd is not installed$/m)
})

test('the endurance table shows growth with its sign', () => {
  const text = formatResults([kEndurance])
  assert.match(text, /\+1\.0 MB/)
  assert.match(text, /\+2/)
})

test('targets are told, reached or not, and a missing peer is not measured', () => {
  const lines = formatTargets(judgeTargets([kLatency, kEndurance])).split('\n')
  assert.ok(lines.includes('P1  wherry / spawn at 54 MB: ≤ 1 ×, measured 0.75 × ✓'))
  assert.ok(lines.includes('P1  crun / wherry at 54 MB: ≥ 8 ×, measured 20.0 × ✓'))
  assert.ok(lines.includes('P1  dockerd / wherry at 54 MB: ≥ 100 ×, not measured: dockerd is not installed'))
  assert.ok(lines.includes('P5  things left behind: ≤ 0, measured 2.00 ✗'))
})

test('trials before a failure are not counted, nor is a run that broke off', () => {
  const [wherry, ...others] = kLatency.subjects
  assert.ok(wherry !== undefined)
  const failed = { ...kLatency, subjects: [{ ...wherry, failed: 'broken' }, ...others] }
  const lines = formatTargets(judgeTargets([failed, { ...kEndurance, failed: 'broken' }])).split('\n')
  assert.equal(lines.length, 6)
  assert.ok(lines.every((line) => /, not measured: (it failed: broken|dockerd is not installed)$/.test(line)))
  assert.match(formatResults([failed]), /^\| wherry +\| not measured \|/m)
})

test('only failed trials are failures: a skipped peer and a missed target are not', () => {
  assert.deepEqual(listFailures([kLatency, kEndurance]), [])
  assert.deepEqual(listFailures([{ ...kEndurance, failed: 'broken' }]), ['wherry: broken'])
})

test('the plot leaves missing subjects out', () => {
  const [group] = plotGroups([kLatency, kEndurance])
  assert.deepEqual(
    group?.rows.map((row) => row.label),
    ['wherry', 'spawn', 'crun'],
  )
})
