// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ContenderResult, TransferResult, UnpackResult } from '../../../bench/job.ts'
import { kPullNames, kPushNames, kUnpackNames } from '../../../bench/p3-names.ts'
import { transferTargets, unpackTargets } from '../../../bench/p3-targets.ts'
import { formatTargets } from '../../../bench/target.ts'
import { formatTransfer } from '../../../bench/transfer-report.ts'
import { formatUnpack } from '../../../bench/unpack-report.ts'

const kTimes = [0, 1, 2]

function measured(name: string, ms: number, p99 = 2): ContenderResult {
  return {
    name,
    samples: kTimes.map((round) => ({ round, ms })),
    loops: kTimes.map(() => ({ p50: 1, p99, max: p99 })),
  }
}

function absent(name: string, reason: { skipped: string } | { failed: string }): ContenderResult {
  return { name, samples: [], loops: [], ...reason }
}

function unpacked(...contenders: ContenderResult[]): UnpackResult {
  return { kind: 'unpack', subject: 'wherry', rows: [{ layers: '2 layers', place: 'tmpfs', contenders }] }
}

function transferred(work: 'pull' | 'push', ...contenders: ContenderResult[]): TransferResult {
  const idle = { p50: 1, p99: 1.5, max: 2 }
  return { kind: 'transfer', subject: 'wherry', idle, rows: [{ work, image: 'small', kept: true, contenders }] }
}

function linesOf(targets: ReturnType<typeof unpackTargets>): string[] {
  return formatTargets(targets).split('\n')
}

test('unpacking is judged by times of both without a sync', () => {
  const { ours, oursSynced, tar, tarSynced } = kUnpackNames
  const result = unpacked(measured(ours, 90), measured(oursSynced, 10), measured(tar, 100), measured(tarSynced, 300))
  assert.deepEqual(linesOf(unpackTargets(result)), ['P3  wherry / GNU tar, 2 layers, tmpfs: ≤ 1 ×, measured 0.90 × ✓'])
})

test('an unpack without one of the two is not measured, for the reason of the one that is missing', () => {
  const { ours, tar } = kUnpackNames
  const noTar = unpacked(measured(ours, 90), absent(tar, { skipped: 'tar is not installed' }))
  assert.deepEqual(linesOf(unpackTargets(noTar)), [
    'P3  wherry / GNU tar, 2 layers, tmpfs: ≤ 1 ×, not measured: tar is not installed',
  ])
  const broken = unpacked(absent(ours, { failed: 'no room' }), measured(tar, 100))
  assert.match(linesOf(unpackTargets(broken))[0] ?? '', /not measured: it failed: no room$/)
})

test('a row for which there is no room, and a part that cannot be done, are lines too', () => {
  const result = unpacked()
  const rows = [{ layers: '2 layers', place: 'tmpfs', skipped: 'takes 3 GB', contenders: [] }]
  assert.match(linesOf(unpackTargets({ ...result, rows }))[0] ?? '', /not measured: takes 3 GB$/)
  assert.deepEqual(linesOf(unpackTargets({ ...result, rows: [], skipped: 'owners and devices need root' })), [
    'P3  wherry / GNU tar: ≤ 1 ×, not measured: owners and devices need root',
  ])
})

test('a pull has a target for podman, one for tar without sync, and one for the event loop', () => {
  const { ours, podman, skopeo, tar, tarSynced } = kPullNames
  const others = [measured(skopeo, 90), measured(tar, 50), measured(tarSynced, 200)]
  const result = transferred('pull', measured(ours, 100, 4), measured(podman, 400), ...others)
  assert.deepEqual(linesOf(transferTargets(result)), [
    'P3  wherry pull / podman pull (overlay), small: ≤ 0.5 ×, measured 0.25 × ✓',
    'P3  wherry pull / GNU tar of the layers, small: ≤ 1 ×, measured 2.00 × ✗',
    'P6  event-loop delay p99 above idle, pull of small: ≤ 5 ms, measured 2.50 ms ✓',
  ])
})

test('a push has a target for skopeo', () => {
  const result = transferred('push', measured(kPushNames.ours, 120), measured(kPushNames.skopeo, 100))
  assert.equal(linesOf(transferTargets(result))[0], 'P3  wherry push / skopeo copy, small: ≤ 1 ×, measured 1.20 × ✗')
})

test('a peer that is not there leaves the other targets of a pull alone', () => {
  const { ours, podman, tar } = kPullNames
  const missing = absent(podman, { skipped: 'podman is not installed' })
  const [toPodman, toTar] = linesOf(
    transferTargets(transferred('pull', measured(ours, 10), missing, measured(tar, 20))),
  )
  assert.match(toPodman ?? '', /≤ 0.5 ×, not measured: podman is not installed$/)
  assert.match(toTar ?? '', /measured 0.50 × ✓$/)
})

test('our failure leaves nothing measured, the event loop neither', () => {
  const { ours, podman, tar } = kPullNames
  const result = transferred('pull', absent(ours, { failed: 'gone' }), measured(podman, 10), measured(tar, 20))
  const lines = linesOf(transferTargets(result))
  assert.equal(lines.length, 3)
  assert.ok(lines.every((line) => line.endsWith('not measured: it failed: gone')))
})

test('a transfer without an image is not measured, target by target', () => {
  const result: TransferResult = { kind: 'transfer', subject: 'wherry', rows: [], skipped: 'no image: umoci' }
  assert.deepEqual(linesOf(transferTargets(result)), [
    'P3  wherry pull / podman pull (overlay): ≤ 0.5 ×, not measured: no image: umoci',
    'P3  wherry pull / GNU tar of the layers: ≤ 1 ×, not measured: no image: umoci',
    'P3  wherry push / skopeo copy: ≤ 1 ×, not measured: no image: umoci',
  ])
})

test('the unpack table has every row, marks the one with the target, and has no interval under six rounds', () => {
  const { ours, tar, tarSynced } = kUnpackNames
  const text = formatUnpack(
    unpacked(measured(ours, 90), measured(tar, 100), measured(tarSynced, 300), absent('x', { skipped: 'why' })),
  )
  assert.match(text, /\| wherry +\| +3 \| +90\.0 \| +90\.0 \| +– \| +– \| +\|/)
  assert.match(text, /\| GNU tar +\| +3 \| +100 \| +100 \| +0\.90 × \| +– \| +≤ 1 × \|/)
  assert.match(text, /\| GNU tar, sync -f +\| +3 \| +300 \| +300 \| +0\.30 × \| +– \| +\|/)
  assert.match(text, /^- 2 layers, tmpfs: x not measured: why$/m)
})

test('the transfer table says where trials had to be removed at once', () => {
  const result = transferred('push', measured(kPushNames.ours, 120))
  const rows = result.rows.map((row) => ({ ...row, kept: false }))
  assert.match(formatTransfer({ ...result, rows }), /^- push of small: no room to keep/m)
  assert.doesNotMatch(formatTransfer(result), /no room/)
})

test('the transfer table says the reason of a part that cannot be done', () => {
  const text = formatTransfer({ kind: 'transfer', subject: 'wherry', rows: [], skipped: 'umoci is not installed' })
  assert.match(text, /^- not measured: umoci is not installed$/m)
})
