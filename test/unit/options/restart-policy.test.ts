// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkCreateOptions } from '../../../lib/containers/create-options.ts'
import { checkRestart, nextRestart, type RestartState, returnsWithHost } from '../../../lib/options/restart-policy.ts'

const policy = (value: unknown): RestartState => checkRestart(value) ?? assert.fail('no policy')

test('policies in words and as objects', () => {
  for (const none of [undefined, 'no', { policy: 'no' }]) assert.equal(checkRestart(none), undefined)
  assert.deepEqual(policy('on-failure:5'), policy({ policy: 'on-failure', maxRetries: 5 }))
  assert.deepEqual([policy('always').policy, policy('unless-stopped').maxRetries], ['always', 0])
  for (const wrong of [
    '',
    'sometimes',
    'always:3',
    'on-failure:',
    'on-failure:x',
    5,
    { policy: 'never' },
    { polcy: 'no' },
  ]) {
    assert.throws(() => checkRestart(wrong), { code: 'ERR_INVALID_OPTION' }, JSON.stringify(wrong))
  }
  assert.throws(() => checkCreateOptions({ restart: 'always', autoRemove: true }), /'no' together with 'autoRemove'/)
})

test('which ends are followed by a start', () => {
  const end = (exitCode: number) => ({ exitCode, startedMs: 0, finishedMs: 5 })
  const isRestarted = (value: string, exitCode: number, changes: Partial<RestartState> = {}): boolean =>
    nextRestart({ ...policy(value), ...changes }, end(exitCode)) !== undefined
  assert.deepEqual(
    [isRestarted('always', 0), isRestarted('unless-stopped', 0), isRestarted('on-failure', 0)],
    [true, true, false],
  )
  assert.ok(isRestarted('on-failure', 137) && isRestarted('on-failure', 1, { count: 1000 }))
  assert.ok(isRestarted('on-failure:2', 1, { count: 1 }) && !isRestarted('on-failure:2', 1, { count: 2 }))
  for (const value of ['always', 'unless-stopped', 'on-failure'])
    assert.ok(!isRestarted(value, 1, { stoppedIn: 'boot' }))
})

test('pauses double up to a minute, and begin anew after a long run', () => {
  let restart = policy('always')
  const delays: number[] = []
  for (let turn = 0; turn < 12; turn++) {
    restart = nextRestart(restart, { exitCode: 0, startedMs: 0, finishedMs: 1_000 }) ?? assert.fail()
    assert.equal(restart.dueMs, 1_000 + restart.delayMs)
    delays.push(restart.delayMs)
  }
  assert.deepEqual(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000])
  assert.equal(restart.count, 12)
  assert.equal(nextRestart(restart, { exitCode: 0, startedMs: 0, finishedMs: 10_000 })?.delayMs, 100)
})

test('after the host has been started anew, what was stopped comes back with always only', () => {
  const stopped = (value: string) => ({ ...policy(value), stoppedIn: 'before' })
  assert.ok(returnsWithHost(stopped('always'), 'now'))
  assert.ok(!returnsWithHost(stopped('always'), 'before'))
  assert.ok(!returnsWithHost(stopped('unless-stopped'), 'now'))
  assert.ok(!returnsWithHost(policy('always'), 'now') && !returnsWithHost(undefined, 'now'))
})
