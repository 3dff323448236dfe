// SPDX-License-Identifier: MIT
// Whoever is killed, and whenever: what belongs to a dead owner goes, without anybody's doing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { until } from '../helpers/until.ts'
import { needsContainers } from '../integration/rootfs.ts'
import { assertRepaired, ended, type Owner, remainsOf, startOwner, useFaultRoot } from './fault-root.ts'

const kKills = 104
const kAtOnce = 4
/** On a busy machine; less than it takes until prepared children end by themselves. */
const kGraceMs = 8_000
const kTimeoutMs = 300_000

checkLeftovers()
const root = useFaultRoot()

/** Polls until nothing is left. @returns how long it took, in milliseconds */
async function gone(owner: Owner, what: string): Promise<number> {
  const started = performance.now()
  let remains = remainsOf(owner)
  while (remains.length > 0) {
    if (performance.now() - started > kGraceMs) assert.deepEqual(remains, [], `left ${kGraceMs} ms after ${what}`)
    await delay(10)
    remains = remainsOf(owner)
  }
  return performance.now() - started
}

async function running(owner: Owner): Promise<void> {
  await until(() => owner.output.includes('running'), 'the container runs')
}

test(`an owner that is killed at any of ${kKills} instants`, { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  let kills = 0
  const tookMs: number[] = []
  const killOne = async (): Promise<void> => {
    while (kills < kKills) {
      const turn = kills++
      const owner = startOwner(root)
      // One in eight dies while it starts.
      if (turn % 8 === 0) await delay(Math.random() * 300)
      else {
        await until(() => owner.launcher !== undefined, 'the owner has a launcher')
        await delay(Math.random() * 400)
      }
      assert.equal(owner.child.exitCode, null, owner.output)
      owner.child.kill('SIGKILL')
      await ended(owner.child)
      tookMs.push(await gone(owner, `kill ${turn}`))
    }
  }
  await Promise.all(Array.from({ length: kAtOnce }, killOne))
  const sorted = tookMs.sort((a, b) => a - b)
  t.diagnostic(
    `${sorted.length} kills; all gone after ${sorted[sorted.length >> 1]?.toFixed(0)} ms in the middle, ` +
      `${sorted.at(-1)?.toFixed(0)} ms at worst`,
  )
  await assertRepaired(root)
})

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  test(`an owner that ends by ${signal}`, { timeout: kTimeoutMs }, async (t) => {
    if (!needsContainers(t)) return
    const owner = startOwner(root, 'one')
    await running(owner)
    owner.child.kill(signal)
    await ended(owner.child)
    assert.equal(owner.child.signalCode, signal)
    await gone(owner, signal)
    await assertRepaired(root)
  })
}

test('owner and launcher killed at once: the containers die, and the next engine removes their cgroups', {
  timeout: kTimeoutMs,
}, async (t) => {
  if (!needsContainers(t)) return
  for (let i = 0; i < 5; i++) {
    const owner = startOwner(root, i % 2 === 0 ? 'one' : 'loop')
    if (i % 2 === 0) await running(owner)
    else await until(() => owner.launcher !== undefined, 'the owner has a launcher').then(() => delay(200))
    const { launcher } = owner
    assert.ok(launcher !== undefined)
    process.kill(launcher.pid, 'SIGKILL')
    owner.child.kill('SIGKILL')
    await ended(owner.child)
    const processes = (): string[] => remainsOf(owner).filter((line) => !line.startsWith('/'))
    await until(() => processes().length === 0, 'the processes are gone', kGraceMs)
    await assertRepaired(root)
    assert.deepEqual(remainsOf(owner), [])
  }
})
