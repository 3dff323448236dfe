// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { normalizeCondition } from '../../../lib/options/wait-options.ts'
import { waitForCondition } from '../../../lib/readiness/wait.ts'
import type { WaitProbes } from '../../../lib/readiness/watcher.ts'

test('health is looked at when it may have changed, and not again and again', async () => {
  const found = ['starting', 'starting', 'healthy']
  const told: (() => void)[] = []
  let looks = 0
  let isOpen = true
  const changes = {
    next: (signal: AbortSignal | undefined) =>
      new Promise<void>((resolve, reject) => {
        told.push(resolve)
        signal?.addEventListener('abort', () => reject(signal.reason))
      }),
    close: () => {
      isOpen = false
    },
  }
  const probes = {
    name: 'web',
    ended: () => new Promise(() => {}),
    health: async () => found[looks++],
    healthChanges: () => changes,
    lastLines: async () => [],
  } as unknown as WaitProbes
  const waiting = waitForCondition(probes, normalizeCondition({ healthy: true }), {
    timeoutMs: 10_000,
    signal: undefined,
  })
  for (const expected of [1, 2]) {
    await sleep(300)
    assert.equal(looks, expected)
    told.shift()?.()
  }
  await waiting
  assert.deepEqual([looks, isOpen], [3, false])
})
