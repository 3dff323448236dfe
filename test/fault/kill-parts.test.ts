// SPDX-License-Identifier: MIT
// A helper process or a container's first process is killed while its owner lives on.
import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { WherryError } from '../../lib/errors.ts'
import type { RunResult } from '../../lib/run-result.ts'
import { checkLeftovers, leavesNothing } from '../helpers/leftovers.ts'
import { until } from '../helpers/until.ts'
import { within } from '../helpers/within.ts'
import { needsContainers, processesWith } from '../integration/rootfs.ts'
import { assertClean, cgroupsOf, childrenOf, janitorOf, useFaultRoot } from './fault-root.ts'

const kTimeoutMs = 120_000
const kPrepared = 3

checkLeftovers()
const root = useFaultRoot()

/** Starts a container and waits until its program runs. */
async function startLong(engine: Engine, marker: string): Promise<{ result: Promise<RunResult>; pid: number }> {
  const stdout = new PassThrough()
  const up = new Promise((resolve) => stdout.once('data', resolve))
  const command = ['/bin/sh', '-c', `: ${marker}; echo up; /bin/sleep 60 & wait`]
  const result = Container.run('fault', command, { engine, reject: false, stdout })
  result.catch(() => undefined)
  await Promise.race([up, result])
  const [pid = ''] = processesWith(marker)
  return { result, pid: Number(pid) }
}

test('the launcher is killed: runs settle, containers die, the engine says so and closes', {
  timeout: kTimeoutMs,
}, async (t) => {
  if (!needsContainers(t)) return
  await leavesNothing(async () => {
    const engine = await Engine.open({ root })
    const session = engine.store.session.id
    const runs = await Promise.all(['a', 'b'].map((name) => startLong(engine, `launcher-${name}-${process.pid}`)))
    const { launcher } = await engine.runtime()
    process.kill(launcher.pid, 'SIGKILL')
    for (const { result } of runs) assert.equal((await within(result, 'the run settles')).killSignal, 'SIGKILL')
    for (const name of ['a', 'b']) {
      await until(() => processesWith(`launcher-${name}-${process.pid}`).length === 0, 'the container is dead')
    }
    const again = within(Container.run('fault', ['/bin/echo', 'again'], { engine }), 'a run after that settles')
    await assert.rejects(again, (error) => {
      assert.ok(error instanceof WherryError, String(error))
      assert.equal(error.code, 'ERR_LAUNCHER_GONE', String(error))
      assert.ok(error.hint !== undefined)
      return true
    })
    await within(engine.close(), 'close() after that')
    assert.deepEqual(cgroupsOf(session), [], 'close() removes the cgroups that the launcher no longer can')
    await assertClean(root, session)
  })
})

test('the launcher is killed at random instants of many starts', { timeout: 4 * kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  for (let i = 0; i < 15; i++) {
    await leavesNothing(async () => {
      const engine = await Engine.open({ root })
      const runs = Array.from({ length: 6 }, () =>
        Container.run('fault', ['/bin/sleep', '0.05'], { engine, reject: false }),
      )
      const settled = Promise.allSettled(runs)
      const session = engine.store.session.id
      const { launcher } = await engine.runtime()
      await delay(Math.random() * 60)
      process.kill(launcher.pid, 'SIGKILL')
      for (const outcome of await within(settled, 'all runs settle')) {
        if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof WherryError, String(outcome.reason))
      }
      await within(engine.close(), 'close() after that')
      await assertClean(root, session)
    })
  }
})

test('the janitor is killed: containers go on, and close() removes everything', { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  await leavesNothing(async () => {
    const engine = await Engine.open({ root })
    const { result, pid } = await startLong(engine, `janitor-${process.pid}`)
    const { launcher } = await engine.runtime()
    process.kill(janitorOf(launcher.pid), 'SIGKILL')
    for (let i = 0; i < 10; i++) {
      const run = Container.run('fault', ['/bin/echo', 'still'], { engine })
      assert.equal((await within(run, 'a run without janitor')).stdout, 'still\n')
    }
    process.kill(pid, 'SIGKILL')
    assert.equal((await within(result, 'the long run')).killSignal, 'SIGKILL')
    const session = engine.store.session.id
    await within(engine.close(), 'close()')
    assert.deepEqual(cgroupsOf(session), [])
    await assertClean(root, session)
  })
})

test('the first process of a container is killed from the host', { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  await leavesNothing(async () => {
    await using engine = await Engine.open({ root })
    const { result, pid } = await startLong(engine, `first-${process.pid}`)
    process.kill(pid, 'SIGKILL')
    const { exitCode, killSignal, oomKilled } = await within(result, 'the run settles')
    assert.deepEqual({ exitCode, killSignal, oomKilled }, { exitCode: null, killSignal: 'SIGKILL', oomKilled: false })
    assert.equal((await Container.run('fault', ['/bin/echo', 'on'], { engine })).stdout, 'on\n')
  })
})

test('prepared children are killed from the host: the next runs do not notice', { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  await leavesNothing(async () => {
    await using engine = await Engine.open({ root, prepared: kPrepared })
    // Whoever runs a second container is taken to run more.
    for (let i = 0; i < 2; i++) await Container.run('fault', ['/bin/true'], { engine })
    const { launcher, pool } = await engine.runtime()
    const prepared = (): number[] => childrenOf(launcher.pid).filter((pid) => pid !== janitorOf(launcher.pid))
    for (let i = 0; i < 3; i++) {
      await until(() => prepared().length >= kPrepared, 'children are prepared')
      await within(pool.settle(), 'all that are being made are there')
      const victims = prepared()
      for (const pid of victims) process.kill(pid, 'SIGKILL')
      await until(() => !prepared().some((pid) => victims.includes(pid)), 'the launcher has collected them')
      // Ends are told in their order: when that of a container of another kind is known, so are those before it.
      await Container.run('fault', ['/bin/true'], { engine, hostname: `other-${i}` })
      assert.equal((await within(Container.run('fault', ['/bin/echo', 'on'], { engine }), 'a run')).stdout, 'on\n')
    }
  })
})
