// SPDX-License-Identifier: MIT
// Containers that outlast a call: files, limits, configuration, names, lists, and what else is in the store.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Container, type CreateOptions } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { ConflictError, ContainerStartError, InvalidOptionError, NotFoundError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { needs } from '../helpers/needs.ts'
import { until } from '../helpers/until.ts'
import { firstLine, linesOf, untilTerm } from '../lifecycle/lasting.ts'
import { needsContainers, packRootfs, useFixture } from './rootfs.ts'

const fixture = useFixture()
const kTimeout = { timeout: 120_000 }

function create(command: readonly string[] | undefined, options: CreateOptions = {}): Promise<Container> {
  return Container.create(fixture.image, { engine: fixture.engine, command, ...options })
}

function shell(script: string, options: CreateOptions = {}): Promise<Container> {
  return create(['/bin/sh', '-c', script], options)
}

/** Starts it, waits for its end, and reads what it wrote since then. */
async function runOnce(container: Container): Promise<string[]> {
  const since = Date.now()
  await container.start()
  await container.wait()
  return linesOf(container, { since })
}

test('the writable layer survives', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await shell('echo turn >> /turns; rm -f /srv/hello; chown 1000 /turns; cat /turns; ls /srv')
  assert.deepEqual(await runOnce(container), ['turn', 'sub'])
  assert.deepEqual(await runOnce(container), ['turn', 'turn', 'sub'])
  assert.equal((await container.inspect()).exitCode, 0)
})

test('a stopped container starts again with all that it had', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const script = 'echo $$ > /tmp/pid; trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.01; done'
  await using container = await shell(script)
  for (let turn = 1; turn <= 3; turn++) {
    const since = Date.now()
    await container.start()
    for await (const { line } of container.logs({ follow: true, since })) if (line === 'ready') break
    await container.stop()
    const { status, exitCode, killSignal, pid } = await container.inspect()
    assert.deepEqual([status, exitCode, killSignal, pid], ['exited', 3, null, null])
  }
  assert.deepEqual(await linesOf(container), ['ready', 'bye', 'ready', 'bye', 'ready', 'bye'])
})

test('limits hold, and a memory hog is told from one that was killed', kTimeout, async (t) => {
  if (!needsContainers(t) || !needs(t, 'cgroup')) return
  await using hog = await create(['/probe', 'memhog', '64'], { memory: '16m' })
  for (let turn = 0; turn < 2; turn++) {
    await hog.start()
    const { exitCode, killSignal, oomKilled, usage } = await hog.wait()
    assert.deepEqual([exitCode, killSignal, oomKilled], [137, 'SIGKILL', true])
    assert.ok((usage?.maxRssBytes ?? 0) > 0)
  }
  await using killed = await create(untilTerm(), { memory: '16m' })
  await killed.start()
  await killed.kill()
  assert.deepEqual(await killed.wait().then(({ exitCode, oomKilled }) => [exitCode, oomKilled]), [137, false])
})

test('the image and the options are merged as in a run', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const config = {
    Entrypoint: ['/bin/sh', '-c', 'echo "$A $B $(pwd) $(id -u)" "$@"', 'sh'],
    Cmd: ['from-cmd'],
    Env: ['A=image', 'B=image'],
    WorkingDir: '/srv',
    User: 'alice',
    StopSignal: 'SIGUSR1',
    Labels: { from: 'image' },
  }
  const image = await Image.import(join(fixture.dir, 'rootfs.tar'), { engine, reference: 'merged', config })
  const of = async (options: CreateOptions): Promise<string[]> => {
    await using container = await Container.create(image, { engine, ...options })
    return await runOnce(container)
  }
  assert.deepEqual(await of({}), ['image image /srv 1000 from-cmd'])
  assert.deepEqual(await of({ command: ['mine'], env: { A: 'own', B: undefined }, cwd: '/', user: 'root' }), [
    'own  / 0 mine',
  ])
  assert.deepEqual(await of({ entrypoint: ['/bin/echo'], command: ['alone'] }), ['alone'])
  await using container = await Container.create(image, {
    engine,
    entrypoint: ['/probe'],
    command: ['trap', '10', '7'],
  })
  assert.deepEqual((await container.inspect()).labels, { from: 'image' })
  await container.start()
  await firstLine(container)
  await container.stop()
  assert.equal((await container.wait()).exitCode, 7)
})

test('stop escalates to SIGKILL when the time is over', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await create(['/probe', 'sleep'])
  await container.start()
  const started = performance.now()
  await container.stop({ timeoutMs: 200 })
  assert.ok(performance.now() - started >= 190)
  const { status, exitCode, killSignal } = await container.inspect()
  assert.deepEqual([status, exitCode, killSignal], ['exited', 137, 'SIGKILL'])
  await container.start()
  await container.stop({ timeoutMs: 0 })
  assert.equal((await container.wait()).exitCode, 137)
})

test('aborting ends the wait and nothing else', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await create(['/probe', 'sleep'])
  await container.start()
  const reason = new Error('enough')
  const late = (): AbortSignal => {
    const controller = new AbortController()
    setTimeout(() => controller.abort(reason), 30)
    return controller.signal
  }
  await assert.rejects(container.stop({ signal: late() }), reason)
  await assert.rejects(container.wait({ signal: late() }), reason)
  await assert.rejects(linesOf(container, { follow: true, signal: late() }), reason)
  for (const signal of [AbortSignal.abort(reason)]) {
    await assert.rejects(container.stop({ signal }), reason)
    await assert.rejects(container.wait({ signal }), reason)
    await assert.rejects(linesOf(container, { signal }), reason)
  }
  assert.equal((await container.inspect()).status, 'running')
})

test('many wait for one end', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await create(untilTerm(9))
  await container.start()
  await firstLine(container)
  const { signal } = new AbortController()
  const waits = Array.from({ length: 100 }, () => container.wait({ signal }))
  await container.stop()
  const codes = (await Promise.all(waits)).map(({ exitCode }) => exitCode)
  assert.deepEqual(codes, Array(100).fill(9))
})

test('a start that fails leaves the container as it was, and the reason', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await create(['/nowhere'])
  await assert.rejects(container.start(), (error) => error instanceof ContainerStartError && error.exitCode === 127)
  const failed = await container.inspect()
  assert.deepEqual([failed.status, failed.exitCode, failed.startedAt, failed.usage], ['created', 127, null, undefined])
  assert.match(failed.error ?? '', /\/nowhere/)
  await assert.rejects(container.start(), ContainerStartError)
  // Mended from outside: a later start finds what was missing.
  const upper = join(fixture.engine.root, 'containers', container.id, 'upper')
  await writeFile(join(upper, 'nowhere'), '#!/bin/sh\nrm /nowhere; exit 4\n', { mode: 0o755 })
  await container.start()
  assert.equal((await container.wait()).exitCode, 4)
  assert.equal((await container.inspect()).error, null)
  await assert.rejects(container.start(), ContainerStartError)
  const again = await container.inspect()
  assert.deepEqual([again.status, again.exitCode], ['exited', 127])
  await assert.rejects(
    Container.start(fixture.image, { engine: fixture.engine, name: 'never', command: ['/nowhere'] }),
    ContainerStartError,
  )
  await assert.rejects(Container.get('never', { engine: fixture.engine }), NotFoundError)
})

test('names and ids', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  await using first = await create(['/bin/true'], { name: 'first' })
  await using second = await create(['/bin/true'])
  assert.match(second.name, /^[a-z]+-[a-z]+$/)
  await assert.rejects(create(['/bin/true'], { name: 'first' }), ConflictError)
  await assert.rejects(second.rename('first'), ConflictError)
  await assert.rejects(second.rename('-'), InvalidOptionError)
  await second.rename(second.name)
  await first.rename('renamed')
  assert.equal((await Container.get('renamed', { engine })).id, first.id)
  await assert.rejects(Container.get('first', { engine }), NotFoundError)
  await second.rename('first')
  assert.equal((await Container.get(first.id.slice(0, 12), { engine })).id, first.id)
  assert.equal((await Container.get(first.id, { engine })).name, 'renamed')
  // A name goes before the start of an id.
  await second.rename(first.id.slice(0, 10))
  assert.equal((await Container.get(first.id.slice(0, 10), { engine })).id, second.id)
  await assert.rejects(Container.get('', { engine }))
  // Of seventeen ids two start alike.
  const many = await Promise.all(Array.from({ length: 17 }, () => create(['/bin/true'])))
  const ids = (await Container.list({ engine, all: true })).map(({ id }) => id)
  const start = ids.map((id) => id[0] ?? '').find((digit, i, all) => all.indexOf(digit) < i)
  assert.ok(start !== undefined)
  await assert.rejects(Container.get(start, { engine }), ConflictError)
  await Promise.all(many.map((each) => each.remove()))
})

test('lists, filters, prune', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  await using made = await create(['/bin/true'], { name: 'list-made', labels: { kind: 'a', x: '' } })
  await using ended = await shell('exit 5', { name: 'list-ended', labels: { kind: 'b' } })
  await runOnce(ended)
  await using running = await create(untilTerm(), { name: 'list-running', labels: { kind: 'a' } })
  await running.start()
  const names = async (options: Parameters<typeof Container.list>[0]): Promise<string[]> =>
    (await Container.list({ engine, ...options })).map(({ name }) => name)
  assert.deepEqual(await names({}), ['list-running'])
  assert.deepEqual(await names({ all: true }), ['list-running', 'list-ended', 'list-made'])
  const cases: [NonNullable<Parameters<typeof Container.list>[0]>['filters'], string[]][] = [
    [{ status: 'created' }, ['list-made']],
    [{ status: ['created', 'exited'] }, ['list-ended', 'list-made']],
    [{ exitCode: 5 }, ['list-ended']],
    [{ exitCode: 0 }, []],
    [{ label: 'kind=a' }, ['list-running']],
    [{ label: ['kind=a', 'x'], status: 'created' }, ['list-made']],
    [{ name: 'list-m', status: 'created' }, ['list-made']],
    [{ id: ended.id.slice(0, 8), status: 'exited' }, ['list-ended']],
    [{ ancestor: 'test' }, ['list-running']],
    [{ ancestor: fixture.image.id.slice(7, 20) }, ['list-running']],
    [{ ancestor: 'other' }, []],
  ]
  for (const [filters, expected] of cases) assert.deepEqual(await names({ filters }), expected, JSON.stringify(filters))
  await assert.rejects(names({ filters: { status: 'dead' as 'created' } }), InvalidOptionError)
  await assert.rejects(names({ filters: { staus: 'created' } as object }), InvalidOptionError)
  assert.deepEqual((await Container.prune({ engine, filters: { label: 'kind=b' } })).removed, [ended.id])
  assert.deepEqual((await Container.prune({ engine })).removed, [made.id])
  assert.deepEqual(await names({ all: true }), ['list-running'])
})

test('the image of a container stays, by name or by force', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const tar = packRootfs(join(fixture.dir, 'rootfs'), join(fixture.dir, 'other.tar'))
  const image = await Image.import(tar, {
    engine,
    reference: 'kept',
    config: { Cmd: ['/bin/cat', '/srv/hello'], Env: ['UNIQUE=1'] },
  })
  await using container = await Container.create('kept', { engine })
  await assert.rejects(image.remove(), ConflictError)
  await image.remove({ force: true })
  await engine.prune()
  assert.deepEqual((await engine.verify()).faults, [])
  assert.deepEqual(await runOnce(container), ['hello from the image'])
  const { images, containers } = await engine.diskUsage()
  assert.deepEqual([containers.count, containers.bytes > 0, images.count >= 1], [1, true, true])
  assert.equal((await container.inspect()).image.reference, 'kept')
})

test('disposal removes, running or not, and twice', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  let removed: Container
  {
    await using container = await create(untilTerm())
    await container.start()
    removed = container
  }
  await assert.rejects(removed.inspect(), NotFoundError)
  await removed[Symbol.asyncDispose]()
  assert.deepEqual(await Container.list({ engine: fixture.engine, all: true }), [])
})

function untilRemoved(container: Container): Promise<void> {
  const isGone = (): Promise<boolean> =>
    container.inspect().then(
      () => false,
      (error: unknown) => error instanceof NotFoundError,
    )
  return until(isGone, 'it is removed')
}

test('a container that is removed by itself', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  for (const detached of [false, true]) {
    const container = await Container.start(fixture.image, {
      engine,
      detached,
      autoRemove: true,
      command: ['/bin/sh', '-c', 'echo hello; exit 6'],
    })
    assert.equal((await container.wait()).exitCode, 6)
    await untilRemoved(container)
    assert.equal((await container.wait()).exitCode, 6, 'told afterwards too')
    const lasting = await Container.start(fixture.image, { engine, detached, autoRemove: true, command: untilTerm(2) })
    await firstLine(lasting)
    await lasting.restart()
    assert.equal((await lasting.inspect()).status, 'running')
    await lasting.stop({ timeoutMs: 100 })
    await untilRemoved(lasting)
  }
})

test('options that make no sense', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const wrong: object[] = [
    { stdout: 'inherit' },
    { timeoutMs: 5 },
    { nmae: 'x' },
    { name: 'x' },
    { logs: { maxSize: -1 } },
    { logs: { maxFiles: 0 } },
    { logs: { size: 1 } },
    { autoRemove: 'yes' },
    { detached: 1 },
  ]
  for (const options of wrong)
    await assert.rejects(create(['/bin/true'], options), InvalidOptionError, JSON.stringify(options))
  await using container = await create(['/bin/true'])
  await assert.rejects(container.kill('SIGNOTHING'), InvalidOptionError)
  await assert.rejects(container.stop({ timeoutMs: -1 }), InvalidOptionError)
  await assert.rejects(linesOf(container, { tail: -1 }), InvalidOptionError)
  await assert.rejects(linesOf(container, { since: 'yesterday' }), InvalidOptionError)
})

test('files of a container that a disk has damaged are told of, and can be removed', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  await using container = await create(['/bin/true'])
  const path = join(engine.root, 'containers', container.id, 'state.json')
  const text = await readFile(path, 'utf8')
  await writeFile(path, text.slice(0, 20))
  await assert.rejects(container.inspect(), { code: 'ERR_CONTAINER_DAMAGED' })
  assert.notDeepEqual((await engine.verify()).faults, [])
  await using other = await create(['/bin/true'])
  assert.deepEqual(await runOnce(other), [])
  await writeFile(path, text)
})

test(
  'a container with options of another version is listed, stopped and removed, and not started',
  kTimeout,
  async (t) => {
    if (!needsContainers(t)) return
    const { root } = fixture.engine
    const { id } = await create(untilTerm(), { detached: true })
    await (await Container.get(id, { engine: fixture.engine })).start()
    const path = join(root, 'containers', id, 'container.json')
    const record = JSON.parse(await readFile(path, 'utf8'))
    await writeFile(path, JSON.stringify({ ...record, options: { ...record.options, later: true } }))
    await using engine = await Engine.open({ root })
    assert.deepEqual(
      (await Container.list({ engine })).map((each) => [each.id, each.status, each.mounts, each.command]),
      [[id, 'running', [], []]],
    )
    const container = await Container.get(id, { engine })
    await assert.rejects(container.exec(['/bin/true']), { code: 'ERR_CONTAINER_OPTIONS' })
    await container.stop()
    await assert.rejects(container.start(), { code: 'ERR_CONTAINER_OPTIONS' })
    assert.equal((await container.inspect()).status, 'exited')
    await container.remove()
  },
)

test('what has no command can be stopped, for it does not run', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await Container.create(Image.host(), { engine: fixture.engine })
  await container.stop()
  assert.equal((await container.inspect()).status, 'created')
})
