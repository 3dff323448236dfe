// SPDX-License-Identifier: MIT
// Health checks: of containers that this process looks after, and of detached ones.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import type { ContainerHealth } from '../../lib/containers/health-state.ts'
import { ContainerEndedError, InvalidOptionError } from '../../lib/errors.ts'
import { until } from '../helpers/until.ts'
import { needsContainers, processesWith, useFixture } from '../integration/rootfs.ts'

const kTimeout = { timeout: 120_000 }
const fixture = useFixture()
const kSleep = ['/bin/sleep', '1000']

async function healthOf(container: Container): Promise<ContainerHealth> {
  return (await container.inspect()).health ?? assert.fail('it has no health')
}

async function becomes(container: Container, status: string): Promise<ContainerHealth> {
  await until(async () => (await healthOf(container)).status === status, `it is ${status}`)
  return await healthOf(container)
}

test('it is starting, healthy and unhealthy by turns, and events tell', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const events = engine.events({ filters: { action: 'health_status' } })
  // As long as it starts, what fails does not count: writing the file may take longer than two looks.
  const start = { startPeriodMs: 600_000, startIntervalMs: 50 }
  const health = { test: 'cat /well && test -e /well', intervalMs: 50, retries: 2, ...start }
  await using container = await Container.start(image, { engine, command: kSleep, health })
  assert.equal((await healthOf(container)).status, 'starting')
  await container.writeFile('/well', 'yes')
  await container.waitFor({ healthy: true })
  assert.equal((await healthOf(container)).log.at(-1)?.output, 'yes')
  await container.rm('/well')
  const { failingStreak, log } = await becomes(container, 'unhealthy')
  assert.ok(failingStreak >= 2 && log.length >= 2)
  assert.match(log.at(-1)?.output ?? '', /No such file/)
  assert.deepEqual(
    (await Container.list({ engine })).map((each) => each.health?.status),
    ['unhealthy'],
  )
  const told: unknown[] = []
  for await (const { attributes } of events) if (told.push(attributes.status) === 2) break
  assert.deepEqual(told, ['healthy', 'unhealthy'])
})

test('a look that takes too long is ended with all that it has started', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const health = { test: 'sleep 4711 & sleep 4711', intervalMs: 20, timeoutMs: 200, retries: 1 }
  await using container = await Container.start(image, { engine, command: kSleep, health })
  const { log } = await becomes(container, 'unhealthy')
  assert.deepEqual([log[0]?.exitCode, log[0]?.output], [-1, 'Health check exceeded timeout (200 ms)'])
  await container.stop({ timeoutMs: 0 })
  assert.deepEqual(processesWith('sleep\x004711'), [])
  await assert.rejects(container.waitFor({ healthy: true }), ContainerEndedError)
})

test('it is not looked at while it is paused, and begins anew with the next run', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  // Most of the time one is under way, and would be seen to take too long.
  const health = { test: 'sleep 0.2', intervalMs: 1, timeoutMs: 2_000, retries: 1 }
  await using container = await Container.start(image, { engine, command: kSleep, health })
  await becomes(container, 'healthy')
  await container.pause()
  const { log } = await healthOf(container)
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  const { status, log: later } = await healthOf(container)
  assert.equal(status, 'healthy')
  // One may have been at its end.
  assert.ok(later.filter((look) => !log.some((old) => old.startedAt === look.startedAt)).length <= 1)
  await container.resume()
  await container.stop({ timeoutMs: 0 })
  const { finishedAt } = await container.inspect()
  await container.start()
  const again = await becomes(container, 'healthy')
  assert.ok(again.log.every((look) => look.startedAt > (finishedAt ?? '')))
})

test('a detached container is looked at when its process has gone', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const health = { test: ['CMD', '/bin/true'], intervalMs: 20 }
  const attendants = (): unknown[] => processesWith(`attendant-process.js\0${engine.root}`)
  await using container = await Container.start(image, { engine, command: kSleep, health, detached: true })
  await container.waitFor({ healthy: true })
  assert.equal(attendants().length, 1)
  await container.stop({ timeoutMs: 0 })
  await until(() => attendants().length === 0, 'the attendant ends')
})

test('a check that cannot be meant makes no container', async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const all = await Container.list({ engine, all: true })
  for (const health of [{ test: ['curl'] }, { intervalMs: 5 }, { test: '' }]) {
    await assert.rejects(Container.create(image, { engine, command: kSleep, health }), InvalidOptionError)
  }
  assert.deepEqual(await Container.list({ engine, all: true }), all)
})
