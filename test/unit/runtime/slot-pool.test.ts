// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Slot } from '../../../lib/runtime/slot.ts'
import type { SlotFactory, SlotProfile } from '../../../lib/runtime/slot-factory.ts'
import { SlotPool, type SlotPoolOptions } from '../../../lib/runtime/slot-pool.ts'
import { until } from '../../helpers/until.ts'

/** A factory that only counts. Its slots are real enough for a pool, which looks at nothing but `child.ended`. */
class CountingFactory {
  made = 0
  readonly unmade: string[] = []
  failure: Error | undefined
  /** Set: `make` waits for it. */
  gate: Promise<void> | undefined

  async make(): Promise<Slot> {
    await this.gate
    if (this.failure !== undefined) throw this.failure
    return { id: String(this.made++), child: { ended: false } } as unknown as Slot
  }

  async unmake(slot: Slot): Promise<void> {
    this.unmade.push(slot.id)
    await sleep(1)
  }
}

function makePool(options: Partial<SlotPoolOptions> = {}): { factory: CountingFactory; pool: SlotPool } {
  const factory = new CountingFactory()
  const pool = new SlotPool(factory as unknown as SlotFactory, { size: 2, idleMs: 10_000, ...options })
  return { factory, pool }
}

/** Takes two slots: a profile is prepared ahead once it has been used twice. */
async function warm(pool: SlotPool, key: string): Promise<void> {
  await pool.take(key, profile)
  await pool.take(key, profile)
}

const profile = (): SlotProfile => ({}) as SlotProfile
const never = (): SlotProfile => assert.fail('the profile is known already')

test('makes on demand, then keeps as many ready as it is told', async () => {
  const { factory, pool } = makePool()
  assert.equal((await pool.take('a', profile)).id, '0')
  assert.equal((await pool.take('a', never)).id, '1')
  assert.equal(factory.made, 2)
  pool.refill('a')
  pool.refill('a')
  await pool.settle()
  assert.equal(factory.made, 4)
  assert.equal((await pool.take('a', never)).id, '3')
  assert.equal(factory.made, 4)
  pool.refill('a')
  await pool.settle()
  assert.equal(factory.made, 5)
  await pool.close()
  assert.deepEqual(factory.unmade.sort(), ['2', '4'])
})

test('what is used once is not prepared for', async () => {
  const { factory, pool } = makePool()
  await pool.take('a', profile)
  pool.refill('a')
  await pool.settle()
  assert.equal(factory.made, 1)
  await pool.close()
})

test('each key has a shelf of its own', async () => {
  const { factory, pool } = makePool()
  await warm(pool, 'a')
  pool.refill('a')
  await pool.settle()
  assert.equal((await pool.take('b', profile)).id, '4')
  assert.equal(factory.made, 5)
  await pool.close()
})

test('size 0: nothing is made ahead, and what comes back goes', async () => {
  const { factory, pool } = makePool({ size: 0 })
  const slot = await pool.take('a', profile)
  pool.refill('a')
  pool.putBack('a', slot)
  await pool.settle()
  assert.deepEqual([factory.made, factory.unmade], [1, ['0']])
  await pool.close()
})

test('what was not used is there for the next', async () => {
  const { factory, pool } = makePool()
  const slot = await pool.take('a', profile)
  pool.putBack('a', slot)
  assert.equal(await pool.take('a', never), slot)
  assert.equal(factory.made, 1)
  await pool.close()
})

test('a child that ended while it waited is not handed out', async () => {
  const { factory, pool } = makePool()
  const slot = await pool.take('a', profile)
  pool.putBack('a', slot)
  Object.assign(slot.child, { ended: true })
  assert.equal((await pool.take('a', never)).id, '1')
  await pool.settle()
  assert.deepEqual(factory.unmade, ['0'])
  await pool.close()
})

test('what nobody asks for ends after a while; the next caller starts anew', async () => {
  const { factory, pool } = makePool({ idleMs: 20 })
  await warm(pool, 'a')
  pool.refill('a')
  await pool.settle()
  // The pool's timer does not keep a process alive; this one does.
  await until(() => factory.unmade.length === 2, 'both have ended')
  assert.deepEqual(factory.unmade.sort(), ['2', '3'])
  assert.equal((await pool.take('a', profile)).id, '4')
  await pool.close()
})

test('a failure reaches the caller, and stops making ahead until one succeeds', async () => {
  const { factory, pool } = makePool()
  await warm(pool, 'a')
  factory.failure = new Error('no')
  pool.refill('a')
  await pool.settle()
  factory.failure = undefined
  pool.refill('a')
  await pool.settle()
  assert.equal(factory.made, 2)
  factory.failure = new Error('still no')
  await assert.rejects(pool.take('a', never), /still no/)
  factory.failure = undefined
  await pool.take('a', never)
  pool.refill('a')
  await pool.settle()
  assert.equal(factory.made, 5)
  await pool.close()
})

test('closing while slots are being made leaves none', async () => {
  const { factory, pool } = makePool()
  await warm(pool, 'a')
  let open = (): void => {}
  factory.gate = new Promise((resolve) => {
    open = resolve
  })
  pool.refill('a')
  const closing = pool.close()
  open()
  await closing
  assert.equal(factory.made, 4)
  assert.deepEqual(factory.unmade.sort(), ['2', '3'])
  pool.refill('a')
  await pool.settle()
  assert.equal(factory.made, 4)
})

test('after closing, what comes back goes', async () => {
  const { factory, pool } = makePool()
  const slot = await pool.take('a', profile)
  await pool.close()
  pool.putBack('a', slot)
  await pool.settle()
  assert.deepEqual(factory.unmade, ['0'])
})

test('a slot whose shelf was dropped while it was made is not lost', async () => {
  const { factory, pool } = makePool({ idleMs: 10 })
  await warm(pool, 'a')
  let open = (): void => {}
  factory.gate = new Promise((resolve) => {
    open = resolve
  })
  pool.refill('a')
  await sleep(40)
  open()
  await pool.settle()
  await pool.close()
  assert.equal(factory.made - factory.unmade.length, 2)
})
