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
const kTimeout = { timeout: 20_000 }

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
