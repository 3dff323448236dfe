// SPDX-License-Identifier: MIT
// Somebody stops the launcher or the janitor (SIGSTOP): nobody waits for ever for what they should do.
import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { checkLeftovers, leavesNothing } from '../helpers/leftovers.ts'
import { within } from '../helpers/within.ts'
import { needsContainers } from '../integration/rootfs.ts'
import { assertClean, janitorOf, useFaultRoot } from './fault-root.ts'

const kTimeoutMs = 120_000

checkLeftovers()
const root = useFaultRoot()

/** An engine whose launcher runs; its parts are let go on when a test fails. */
async function withLauncher(work: (engine: Engine, launcher: number) => Promise<void>): Promise<void> {
  await leavesNothing(async () => {
    const engine = await Engine.open({ root })
    const session = engine.store.session.id
    const { launcher } = await engine.runtime()
    await Container.run('fault', ['/bin/true'], { engine })
    const parts = [launcher.pid, janitorOf(launcher.pid)]
    try {
      await work(engine, launcher.pid)
      await within(engine.close(), 'close()')
    } catch (error) {
      for (const pid of parts) process.kill(pid, 'SIGCONT')
      await engine.close()
      throw error
    }
    await assertClean(root, session)
  })
}

test('a run whose launcher is stopped ends when its time is up', { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  await withLauncher(async (engine, launcher) => {
    const stdout = new PassThrough()
    const options = { engine, reject: false, stdout, timeoutMs: 1_000 } as const
    const result = Container.run('fault', ['/bin/sh', '-c', 'echo up; /bin/sleep 60 & wait'], options)
    await new Promise((resolve) => stdout.once('data', resolve))
    process.kill(launcher, 'SIGSTOP')
    const { timedOut, killSignal } = await within(result, 'the run settles')
    assert.deepEqual([timedOut, killSignal], [true, 'SIGKILL'])
  })
})

test('runs that begin while the launcher is stopped work', { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  await withLauncher(async (engine, launcher) => {
    for (const hostname of ['first', 'second']) {
      process.kill(launcher, 'SIGSTOP')
      const run = Container.run('fault', ['/bin/hostname'], { engine, hostname, timeoutMs: 20_000 })
      assert.equal((await within(run, 'the run settles')).stdout, `${hostname}\n`)
    }
  })
})

test('a container whose launcher is stopped can be killed and stopped', { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  await withLauncher(async (engine, launcher) => {
    await using container = await Container.start('fault', { engine, command: ['/bin/sleep', '60'] })
    process.kill(launcher, 'SIGSTOP')
    await container.kill()
    assert.equal((await within(container.wait(), 'wait()')).exitCode, 137)
    process.kill(launcher, 'SIGSTOP')
    await within(container.start(), 'start()')
    process.kill(launcher, 'SIGSTOP')
    await within(container.stop({ timeoutMs: 100 }), 'stop()')
    assert.equal((await container.inspect()).status, 'exited')
  })
})

test('an engine closes whose launcher and janitor are stopped, with all that runs', {
  timeout: kTimeoutMs,
}, async (t) => {
  if (!needsContainers(t)) return
  await withLauncher(async (engine, launcher) => {
    const stdout = new PassThrough()
    const options = { engine, reject: false, stdout } as const
    const result = Container.run('fault', ['/bin/sh', '-c', 'echo up; /bin/sleep 60 & wait'], options)
    await new Promise((resolve) => stdout.once('data', resolve))
    process.kill(janitorOf(launcher), 'SIGSTOP')
    process.kill(launcher, 'SIGSTOP')
    const [closed, run] = await Promise.allSettled([within(engine.close(), 'close()'), within(result, 'the run')])
    assert.equal(closed.status, 'fulfilled')
    assert.equal(run.status === 'rejected' && run.reason.code, 'ERR_ENGINE_CLOSED')
  })
})
