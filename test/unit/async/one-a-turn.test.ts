// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OneATurn } from '../../../lib/async/one-a-turn.ts'

test('whoever comes alone does not wait for the event loop', async () => {
  const turns = new OneATurn()
  let turned = false
  setImmediate(() => {
    turned = true
  })
  await turns.next()
  assert.equal(turned, false)
})

test('those who come together get a turn of the event loop each, in order', async () => {
  const turns = new OneATurn()
  let turn = 0
  const count = (): void => {
    turn++
    if (turn < 10) setImmediate(count)
  }
  setImmediate(count)
  const seen = await Promise.all(
    ['a', 'b', 'c'].map(async (name) => {
      await turns.next()
      return [name, turn] as const
    }),
  )
  assert.deepEqual(
    seen.map(([name]) => name),
    ['a', 'b', 'c'],
  )
  const turnsOf = seen.map(([, at]) => at)
  assert.equal(turnsOf[0], 0)
  assert.ok((turnsOf[1] ?? 0) < (turnsOf[2] ?? 0), `turns ${turnsOf}`)
  assert.ok((turnsOf[1] ?? 0) > 0, `turns ${turnsOf}`)
})
