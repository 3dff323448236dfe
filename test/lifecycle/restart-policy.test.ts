// SPDX-License-Identifier: MIT
// Containers that are started again by themselves: by the process that started them, or by the attendant of the root.
import assert from 'node:assert/strict'
import { readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { until } from '../helpers/until.ts'
import { needsContainers, processesWith, useFixture } from '../integration/rootfs.ts'
import { linesOf, untilTerm } from './lasting.ts'

const kTimeout = { timeout: 240_000 }
const fixture = useFixture()

const attendants = (): number[] => processesWith(`attendant-process.js\0${fixture.engine.root}`).map(Number)

async function runsAgain(container: Container, pid: number | null): Promise<number> {
  let found: number | null = null
  await until(async () => {
    const now = await container.inspect()
    found = now.status === 'running' && now.pid !== pid ? now.pid : null
    return found !== null
  }, 'it runs again')
  // And not only its process: whoever started it could still be killed before its program is there.
  const starts = (await container.inspect()).restartCount + 1
  const isReady = async (): Promise<boolean> =>
    (await linesOf(container)).filter((line) => line === 'ready').length >= starts
  await until(isReady, 'its program runs')
  return found ?? assert.fail()
}

test('on-failure: as often as it says, then it has ended', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const events = engine.events({ filters: { action: ['start', 'die'] } })
  await using container = await Container.start(image, {
    engine,
    command: ['/probe', 'exit', '3'],
    restart: 'on-failure:2',
  })
  const { exitCode } = await container.wait()
  const { status, restartCount, restart } = await container.inspect()
  assert.deepEqual([exitCode, status, restartCount, restart], [3, 'exited', 2, { policy: 'on-failure', maxRetries: 2 }])
  const told: string[] = []
  for await (const { action } of events) if (told.push(action) === 6) break
  assert.deepEqual(told, ['start', 'die', 'start', 'die', 'start', 'die'])
})

/** Ends its program as nobody of wherry's would. @returns its process */
async function crash(container: Container): Promise<number> {
  // A program that is killed before it has said that it is there makes the count of those who have said so come out short.
  const pid = await runsAgain(container, null)
  process.kill(pid, 'SIGKILL')
  return pid
}

test('a kill with SIGKILL or the stop signal ends it, another signal does not', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const options = { engine, restart: 'always' }
  await using container = await Container.start(image, { ...options, command: untilTerm(3) })
  for (const [signal, exitCode] of [
    ['SIGKILL', 137],
    ['SIGTERM', 3],
  ] as const) {
    await runsAgain(container, null)
    await container.kill('SIGUSR1')
    await container.kill(signal)
    const ended = await container.wait()
    assert.deepEqual([ended.exitCode, (await container.inspect()).status], [exitCode, 'exited'], signal)
    await container.start()
  }
  await container.remove({ force: true })
  await using other = await Container.start(image, { ...options, command: untilTerm(3), stopSignal: 'SIGUSR1' })
  const pid = await runsAgain(other, null)
  await other.kill('SIGTERM')
  await runsAgain(other, pid)
})

test('a kill ends one that waits to be started again', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  await using container = await Container.start(image, { engine, command: ['/probe', 'exit', '3'], restart: 'always' })
  const isWaiting = async (): Promise<boolean> => {
    const { status, restartCount } = await container.inspect()
    // Long enough by then.
    return status === 'restarting' && restartCount >= 4
  }
  await until(isWaiting, 'it waits', 20_000)
  await assert.rejects(container.kill('SIGUSR1'), { code: 'ERR_CONTAINER_STATE' })
  assert.equal((await container.inspect()).status, 'restarting')
  await container.kill()
  assert.deepEqual([(await container.wait()).exitCode, (await container.inspect()).status], [3, 'exited'])
})

test('always: a crash does not end it, a stop does; a start begins anew', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  await using container = await Container.start(image, { engine, command: untilTerm(), restart: 'always' })
  await runsAgain(container, await crash(container))
  assert.equal((await container.inspect()).restartCount, 1)
  await container.stop()
  const stopped = await container.inspect()
  assert.equal(stopped.status, 'exited')
  assert.equal((await container.wait()).finishedAt, stopped.finishedAt)
  await container.start()
  assert.equal((await container.inspect()).restartCount, 0)
})

test('what is attached is left alone when its engine closes', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const other = await Engine.open({ root: engine.root })
  const { id } = await Container.start(await other.store.images.get(image.id).then(() => image.id), {
    engine: other,
    command: untilTerm(),
    restart: 'always',
  })
  await other.close()
  await using container = await Container.get(id, { engine })
  assert.equal((await container.inspect()).status, 'exited')
})

test('detached: the attendant starts it again, and is started again itself', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  {
    await using container = await Container.start(image, {
      engine,
      detached: true,
      command: untilTerm(),
      restart: 'unless-stopped',
    })
    await until(() => attendants().length === 1, 'there is an attendant')
    const [attendant = 0] = attendants()
    for (const fd of ['0', '1', '2']) assert.equal(readlinkSync(`/proc/${attendant}/fd/${fd}`), '/dev/null')
    const second = await runsAgain(container, await crash(container))
    process.kill(attendant, 'SIGKILL')
    await until(() => attendants().length === 0, 'it is gone')
    // The container is not: its launcher goes on.
    assert.equal((await container.inspect()).pid, second)
    await crash(container)
    await until(async () => (await container.inspect()).status === 'restarting', 'nobody starts it')
    await (await Engine.open({ root: engine.root })).close()
    await runsAgain(container, second)
    assert.equal((await container.inspect()).restartCount, 2)
    // A second one finds no place.
    await (await Engine.open({ root: engine.root })).close()
    assert.equal(attendants().length, 1)
    await container.stop()
    assert.equal((await container.inspect()).status, 'exited')
  }
  await until(() => attendants().length === 0, 'the attendant ends with its work')
})
