// SPDX-License-Identifier: MIT
// What closing an engine does to its containers and to those who wait for them.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { takeStock } from '../helpers/leftovers.ts'
import { until } from '../helpers/until.ts'
import { needsContainers, useFixture } from '../integration/rootfs.ts'
import { firstLine, untilTerm } from './lasting.ts'

const fixture = useFixture()
const kTimeout = { timeout: 60_000 }

test('a run that is under way is told, though a detached container goes on', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const engine = await Engine.open({ root: fixture.engine.root })
  const options = { engine, command: untilTerm(3) }
  const detached = await Container.start('test', { ...options, detached: true })
  const attached = await Container.start('test', options)
  const gone = await Container.start('test', { ...options, autoRemove: true })
  for (const each of [detached, attached, gone]) await firstLine(each)
  const { launcher } = await engine.runtime()
  const running = Container.run('test', ['/probe', 'sleep'], { engine })
  const waiting = attached.wait()
  running.catch(() => undefined)
  await engine.close()
  await assert.rejects(running, { code: 'ERR_ENGINE_CLOSED' })
  assert.equal((await waiting).exitCode, 137)
  assert.ok(!existsSync(join(engine.root, 'containers', gone.id)))
  await using same = await Container.get(detached.id, { engine: fixture.engine })
  await using other = await Container.get(attached.id, { engine: fixture.engine })
  assert.deepEqual([(await same.inspect()).status, (await other.inspect()).status], ['running', 'exited'])
  await same.stop()
  assert.equal((await same.wait()).exitCode, 3)
  await until(() => !existsSync(`/proc/${launcher.pid}`), 'the launcher ends')
})

test('the cgroups that engines share go with a detached container that outlives its engine', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  // No other engine of this file may be there to remove them, so all of this happens in an engine of its own.
  const before = takeStock().cgroups
  const engine = await Engine.open({ root: fixture.engine.root })
  const detached = await Container.start('test', { engine, command: untilTerm(0), detached: true })
  await firstLine(detached)
  const { pid } = await detached.inspect()
  await engine.close()
  assert.ok(pid !== null && takeStock().cgroups.length > 0)
  process.kill(pid, 'SIGKILL')
  await until(() => takeStock().cgroups.length <= before.length, 'the cgroups are removed')
  await (await Container.get(detached.id, { engine: fixture.engine })).remove()
})

test(
  'what is paused holds nobody up: neither a container of its own, nor a program in one of others',
  kTimeout,
  async (t) => {
    if (!needsContainers(t)) return
    const lasting = await Container.start('test', { engine: fixture.engine, command: untilTerm(0) })
    await firstLine(lasting)
    const engine = await Engine.open({ root: fixture.engine.root })
    const own = await Container.start('test', { engine, command: untilTerm(0) })
    await firstLine(own)
    await own.pause()
    const same = await Container.get(lasting.id, { engine })
    for (let i = 0; i < 2; i++) await same.exec(['/probe', 'exit', '0'])
    const { execs, launcher } = await engine.runtime()
    const { pid, startTimeTicks } = (await fixture.engine.containers.read(lasting.id)).state
    const waiting = (): number | undefined =>
      execs.slots.waiting({ pid: pid ?? 0, startTimeTicks: startTimeTicks ?? 0 })
    await until(() => waiting() !== undefined, 'one waits')
    const program = await same.spawn(['/probe', 'sleep'])
    void program.wait().catch(() => undefined)
    await until(() => waiting() !== undefined, 'another one waits')
    const processes = [program.pid, waiting() ?? 0]
    await lasting.pause()
    let isClosed = false
    const closing = engine.close().finally(() => {
      isClosed = true
    })
    try {
      await until(() => isClosed, 'the engine is closed')
      assert.ok(!existsSync(`/proc/${launcher.pid}`))
    } finally {
      await lasting.resume()
      await closing
    }
    await until(() => processes.every((each) => !existsSync(`/proc/${each}`)), 'what was frozen has ended')
    assert.equal((await lasting.inspect()).status, 'running')
    await lasting.remove({ force: true })
    await (await Container.get(own.id, { engine: fixture.engine })).remove()
  },
)
