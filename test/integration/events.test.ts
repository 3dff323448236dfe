// SPDX-License-Identifier: MIT
// What happens on a root is told to every process on it: once, and of one container in its order.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import type { EngineEvent } from '../../lib/events/event.ts'
import { Image } from '../../lib/image.ts'
import { Volume } from '../../lib/volume.ts'
import { until } from '../helpers/until.ts'
import { firstLine, untilTerm } from '../lifecycle/lasting.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const kTimeout = { timeout: 120_000 }
const kProgram = fileURLToPath(new URL('../lifecycle/lasting-process.js', import.meta.url))
const fixture = useFixture()

/** Takes events up to the one with an action. */
async function upTo(action: string, events: AsyncIterable<EngineEvent>): Promise<EngineEvent[]> {
  const found: EngineEvent[] = []
  for await (const event of events) {
    found.push(event)
    if (event.action === action) return found
  }
  return assert.fail(`no ${action} after ${actionsOf(found).join(' ')}`)
}

const actionsOf = (events: readonly EngineEvent[]): string[] => events.map(({ action }) => action)

test('the life of a container, as two engines hear it', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  await using other = await Engine.open({ root: engine.root })
  const here = engine.events({ filters: { type: 'container' } })
  const there = upTo('destroy', other.events({ filters: { type: 'container' } }))
  const seen: unknown[] = []
  const onMessage = (message: unknown): number => seen.push((message as EngineEvent).action)
  subscribe('wherry:container', onMessage)
  const begun = new Date()
  const container = await Container.create(image, {
    engine,
    name: 'storied',
    command: untilTerm(7),
    labels: { part: 'one', action: 'kept' },
  })
  await container.start()
  await firstLine(container)
  await container.pause()
  await container.resume()
  await container.exec(['/probe', 'exit', '3'], { reject: false })
  await container.restart()
  await firstLine(container)
  await container.kill()
  await container.wait()
  await container.rename('renamed')
  await container.remove()
  const told = await upTo('destroy', here)
  unsubscribe('wherry:container', onMessage)
  const expected = ['create', 'start', 'pause', 'unpause', 'exec_create', 'exec_start', 'exec_die']
  const rest = ['kill', 'die', 'stop', 'start', 'restart', 'kill', 'die', 'rename', 'destroy']
  assert.deepEqual(actionsOf(told), [...expected, ...rest])
  assert.deepEqual(seen, actionsOf(told))
  assert.deepEqual(await there, told)
  const deaths = told.filter(({ action }) => action === 'die')
  assert.deepEqual(
    deaths.map(({ attributes: { exitCode, signal } }) => [exitCode, signal]),
    [
      ['7', undefined],
      ['137', 'SIGKILL'],
    ],
  )
  assert.equal(told.find(({ action }) => action === 'exec_die')?.attributes.exitCode, '3')
  assert.equal(told.find(({ action }) => action === 'kill')?.attributes.signal, '15')
  assert.equal(told.find(({ action }) => action === 'rename')?.attributes.oldName, 'storied')
  for (const { id, type, time, attributes } of told) {
    assert.deepEqual([id, type, attributes.part, attributes.action], [container.id, 'container', 'one', 'kept'])
    assert.ok(Date.parse(time) >= begun.getTime() && Date.parse(time) <= Date.now())
    assert.match(attributes.image ?? '', /test/)
  }
})

test('what programs in a container do is told by the name that it has by then', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const since = new Date()
  const container = await Container.start(image, { engine, name: 'first', command: untilTerm(0) })
  await firstLine(container)
  await container.exec(['/probe', 'exit', '0'])
  const other = await Container.get(container.id, { engine })
  await other.rename('second')
  await container.exec(['/probe', 'exit', '0'])
  await container.remove({ force: true })
  const names: string[] = []
  const filters = { action: 'exec_die', container: container.id }
  for await (const { name } of engine.events({ since, until: new Date(), filters })) names.push(name)
  assert.deepEqual(names, ['first', 'second'])
})

test('a program in a container ends before its container does, also when the engine closes', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const since = new Date()
  const own = await Engine.open({ root: engine.root })
  const options = { command: ['/bin/sleep', '1000'] }
  for (const [name, end] of [
    ['killed', (container: Container) => container.kill()],
    ['removed', (container: Container) => container.remove({ force: true })],
    ['closed', () => own.close()],
  ] as const) {
    const container = await Container.start(image.id, { ...options, engine: own, name })
    const execs = [1, 2, 3].map(() => container.exec(['/bin/sleep', '1000'], { reject: false }).catch(() => undefined))
    await container.spawn(['/bin/sleep', '1000'])
    const top = async (): Promise<number> => (await container.top()).processes.length
    await until(async () => (await top()) >= 5, 'all of them run')
    await end(container)
    await Promise.all(execs)
  }
  for (const name of ['killed', 'removed', 'closed']) {
    const told: string[] = []
    const query = { since, until: Date.now(), filters: { container: name } }
    for await (const { action } of engine.events(query)) if (/die|destroy/.test(action)) told.push(action)
    const programs = told.filter((action) => action === 'exec_die')
    assert.equal(programs.length, 4, `${name}: ${told}`)
    assert.deepEqual(told.slice(0, 4), programs, name)
  }
  for (const name of ['killed', 'closed']) await (await Container.get(name, { engine })).remove()
})

test('events that were told before, up to a moment', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  await Container.create(image, { engine, name: 'early' }).then((container) => container.remove())
  const between = new Date(Date.now() + 1)
  await until(() => Date.now() > between.getTime(), 'a later moment')
  await Container.create(image, { engine, name: 'late' }).then((container) => container.remove())
  const named = async (options: Parameters<Engine['events']>[0]): Promise<string[]> => {
    const found: string[] = []
    for await (const { name, action } of engine.events(options)) found.push(`${name} ${action}`)
    return found
  }
  const filters = { type: 'container' as const, container: ['early', 'late'] }
  const now = Date.now() + 1
  await until(() => Date.now() > now, 'it has passed')
  assert.deepEqual(await named({ since: 0, until: between, filters }), ['early create', 'early destroy'])
  assert.deepEqual(await named({ since: between, until: now, filters }), ['late create', 'late destroy'])
  // Ends when that comes, without an event.
  assert.deepEqual(await named({ until: Date.now() + 100, filters }), [])
})

test('images', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const events = engine.events({ filters: { type: 'image', image: image.id } })
  await image.tag('other:1')
  await image.untag('other:1')
  await image.tag('other:2')
  await Image.remove('other:2', { engine })
  const found: string[] = []
  for await (const { action, name, id } of events) {
    assert.equal(id, image.id)
    if (found.push(`${action} ${name.replace('docker.io/library/', '')}`) === 4) break
  }
  assert.deepEqual(found, ['tag other:1', 'untag other:1', 'tag other:2', 'untag other:2'])
})

test('volumes', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const events = engine.events({ filters: { volume: 'data' } })
  const volume = await Volume.create('data', { engine })
  await volume.remove()
  const [created, destroyed] = [(await events.next()).value, (await events.next()).value]
  assert.deepEqual([created?.type, created?.action, destroyed?.action], ['volume', 'create', 'destroy'])
  await events.return()
})

test('the end of a container whose owner was killed', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  await image.tag('fault')
  const owner = spawn(process.execPath, [kProgram, engine.root, 'own', 'attached:attached', 'detached:detached'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await until(() => owner.stdout.read() !== null, 'its containers run')
  const events = engine.events({ filters: { action: 'die' } })
  owner.kill('SIGKILL')
  const first = (await events.next()).value
  assert.deepEqual([first?.name, first?.attributes.exitCode], ['attached', '137'])
  const detached = await Container.get('detached', { engine })
  // Its owner is gone: whoever listens tells.
  await detached.exec(['/bin/kill', '-TERM', '1'])
  const second = (await events.next()).value
  assert.deepEqual([second?.name, second?.attributes.exitCode], ['detached', '7'])
  await events.return()
  // All have been told: no second time, whoever looks.
  const late = engine.events({ filters: { type: 'container' } })
  await detached.remove()
  await Container.get('attached', { engine }).then((container) => container.remove())
  assert.deepEqual(actionsOf([(await late.next()).value, (await late.next()).value] as EngineEvent[]), [
    'destroy',
    'destroy',
  ])
  await late.return()
})

test('ends that nobody heard are told by the next one who opens the root', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  await image.tag('fault')
  const owner = spawn(process.execPath, [kProgram, engine.root, 'own', 'unheard:attached'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await until(() => owner.stdout.read() !== null, 'its container runs')
  const unheard = await Container.get('unheard', { engine })
  owner.kill('SIGKILL')
  await unheard.wait()
  const events = engine.events({ filters: { container: 'unheard' } })
  await (await Engine.open({ root: engine.root })).close()
  const { value } = await events.next()
  assert.deepEqual([value?.action, value?.attributes.exitCode], ['die', '137'])
  await events.return()
  await unheard.remove()
})

test('an abort, a closed engine, wrong options', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using other = await Engine.open({ root: fixture.engine.root })
  const controller = new AbortController()
  const aborted = other.events({ signal: controller.signal }).next()
  controller.abort(new Error('enough'))
  await assert.rejects(aborted, { message: 'enough' })
  const closed = assert.rejects(other.events().next(), { code: 'ERR_ENGINE_CLOSED' })
  await other.close()
  await closed
  const { engine } = fixture
  assert.throws(() => engine.events({ filters: { kind: 'image' } as never }), { code: 'ERR_INVALID_OPTION' })
  assert.throws(() => engine.events({ filters: { type: 'network' as never } }), { code: 'ERR_INVALID_OPTION' })
  assert.throws(() => engine.events({ since: 'yesterday' }), { code: 'ERR_INVALID_OPTION' })
})
