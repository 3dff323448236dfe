// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Turns } from '../../../lib/async/turns.ts'

test('turns go in order, one at a time', async () => {
  const turns = new Turns()
  const woken: number[] = []
  for (const each of [1, 2, 3]) void turns.wait(undefined).then(() => woken.push(each))
  turns.next()
  await turn()
  assert.deepEqual(woken, [1])
  turns.all()
  await turn()
  assert.deepEqual(woken, [1, 2, 3])
  turns.next()
})

test('who is aborted waits no longer, and takes no turn', async () => {
  const turns = new Turns()
  const controller = new AbortController()
  const woken: string[] = []
  void turns.wait(controller.signal).then(() => woken.push('aborted'))
  void turns.wait(undefined).then(() => woken.push('next'))
  controller.abort()
  await turn()
  assert.deepEqual(woken, ['aborted'])
  turns.next()
  await turn()
  assert.deepEqual(woken, ['aborted', 'next'])
})

test('a turn of one who is aborted at the same moment is not lost', async () => {
  const turns = new Turns()
  const controller = new AbortController()
  let woken = false
  void turns.wait(controller.signal)
  void turns.wait(undefined).then(() => {
    woken = true
  })
  turns.next()
  controller.abort()
  await turn()
  assert.equal(woken, true)
})
