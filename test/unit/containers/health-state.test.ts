// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  afterLook,
  type HealthState,
  newHealth,
  parseHealth,
  pauseBeforeLook,
} from '../../../lib/containers/health-state.ts'

const kRun = '2026-01-01T00:00:00.000Z'
const kCheck = { command: ['x'], intervalMs: 100, timeoutMs: 9, retries: 2, startPeriodMs: 1_000, startIntervalMs: 10 }

function look(health: HealthState, afterMs: number, exitCode: number): HealthState {
  const time = new Date(Date.parse(kRun) + afterMs).toISOString()
  return afterLook(health, { startedAt: time, finishedAt: time, exitCode, output: '' }, kCheck)
}

test('so many failures in a row make it unhealthy, one success healthy', () => {
  let health = look(newHealth(kRun), 2_000, 1)
  assert.deepEqual([health.status, health.failingStreak], ['starting', 1])
  health = look(health, 2_100, -1)
  assert.deepEqual([health.status, health.failingStreak], ['unhealthy', 2])
  health = look(health, 2_200, 0)
  assert.deepEqual([health.status, health.failingStreak], ['healthy', 0])
  health = look(health, 2_300, 1)
  assert.deepEqual([health.status, health.failingStreak], ['healthy', 1])
})

test('failures do not count in the start period, until it was healthy once', () => {
  let health = newHealth(kRun)
  for (let i = 0; i < 5; i++) health = look(health, 500, 1)
  assert.deepEqual([health.status, health.failingStreak], ['starting', 0])
  health = look(health, 600, 0)
  for (let i = 0; i < 2; i++) health = look(health, 700, 1)
  assert.equal(health.status, 'unhealthy')
})

test('looks are nearer to each other in the start period', () => {
  const at = (ms: number): number => Date.parse(kRun) + ms
  assert.equal(pauseBeforeLook(newHealth(kRun), at(500), kCheck), 10)
  assert.equal(pauseBeforeLook(newHealth(kRun), at(1_500), kCheck), 100)
  assert.equal(pauseBeforeLook(look(newHealth(kRun), 10, 0), at(500), kCheck), 100)
})

test('the last five looks are kept, and what is written can be read again', () => {
  let health = newHealth(kRun)
  for (let i = 0; i < 8; i++) health = look(health, i, i)
  assert.deepEqual(
    health.log.map(({ exitCode }) => exitCode),
    [3, 4, 5, 6, 7],
  )
  assert.deepEqual(parseHealth(JSON.stringify(health)), health)
  for (const text of ['', '{}', 'null', '{"run":1}']) assert.equal(parseHealth(text), undefined)
})
