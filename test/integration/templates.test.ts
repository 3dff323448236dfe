// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { ConflictError, InvalidOptionError, NotFoundError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { Template } from '../../lib/template.ts'
import { Volume } from '../../lib/volume.ts'
import { makeTar } from '../helpers/make-tar.ts'
import { until } from '../helpers/until.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()
const kProcess = fileURLToPath(new URL('./template-process.js', import.meta.url))

const text = (container: Container, path: string): Promise<string> => container.readFile(path, { encoding: 'utf8' })

test('twenty forks of a running container have its files, and each its own from then on', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const script = 'echo prepared > /srv/state; rm /srv/hello; chown 1000:50 /srv/state; exec sleep 60'
  await using original = await Container.start(fixture.image, {
    engine,
    name: 'prepared',
    command: ['/bin/sh', '-ec', script],
    env: { WHO: 'fork' },
    mounts: [{ type: 'volume', source: 'outside', target: '/outside' }],
  })
  await until(() => original.exists('/srv/state'), 'it is prepared')
  await original.writeFile('/outside/file', 'of the volume')
  const template = await original.snapshot()
  assert.equal((await original.inspect()).status, 'running')
  assert.deepEqual((await template.inspect()).from, { id: original.id, name: 'prepared' })
  assert.deepEqual(
    (await Template.list({ engine })).map(({ id }) => id),
    [template.id],
  )
  assert.equal((await Template.get(template.id.slice(0, 8), { engine })).id, template.id)

  const own = `echo "$WHO" >> /srv/state; echo $(stat -c %u:%g /srv/state) >> /srv/state; cat /srv/state; ls /srv`
  const command = ['/bin/sh', '-ec', own]
  const forks = await Promise.all(Array.from({ length: 20 }, () => Container.fork(template, { command })))
  await Promise.all(forks.map((fork) => fork.wait()))
  for (const fork of forks) {
    const lines: string[] = []
    for await (const { line } of fork.logs()) lines.push(line)
    assert.deepEqual(lines, ['prepared', 'fork', '1000:50', 'state', 'sub'])
  }
  const changed = (await forks[0]?.changes())?.map(({ path }) => path)
  assert.deepEqual(changed, ['/srv', '/srv/state'])
  assert.equal(await text(original, '/srv/state'), 'prepared\n')
  // Volumes are shared, and no part of the template.
  assert.equal(await text(forks[0] as Container, '/outside/file'), 'of the volume')
  assert.equal((await Container.run(await template.image(), ['/bin/ls', '-A', '/outside'], { engine })).stdout, '')

  // Whatever goes first, the others stay.
  await template.remove()
  await assert.rejects(Container.fork(template), NotFoundError)
  await original.remove({ force: true })
  await engine.prune()
  const [first, second] = forks as [Container, Container]
  await first.start()
  await first.wait()
  assert.equal(await text(first, '/srv/state'), 'prepared\nfork\n1000:50\nfork\n1000:50\n')
  // A fork of a fork whose template is gone.
  const again = await second.snapshot()
  await Promise.all(forks.map((fork) => fork.remove()))
  await using grandchild = await Container.fork(again)
  await grandchild.wait()
  assert.equal(await text(grandchild, '/srv/state'), 'prepared\nfork\n1000:50\nfork\n1000:50\n')
  await again.remove()
  await assert.rejects(again.remove(), NotFoundError)
  await grandchild.remove()
  await (await Volume.get('outside', { engine })).remove()
})

test('a fork takes over how its container is looked after, and gets ports of its own', {
  timeout: 60_000,
}, async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  await using original = await Container.start(fixture.image, {
    engine,
    command: ['/bin/sleep', '1000'],
    ports: [{ container: 80, host: 18_480 }],
    restart: 'on-failure:3',
    stdin: 'open',
    health: { test: ['CMD', '/bin/true'], intervalMs: 4711 },
  })
  await using template = await original.snapshot()
  await using one = await Container.fork(template)
  await using other = await Container.fork(template, { autoRemove: true, health: { test: ['NONE'] } })
  const ports = [original, one, other].map((each) => each.ports[0]?.port)
  assert.equal(ports[0], 18_480)
  assert.equal(new Set(ports).size, 3)
  const { restart, health } = await one.inspect()
  assert.deepEqual([restart, health?.status], [{ policy: 'on-failure', maxRetries: 3 }, 'starting'])
  const { record } = await engine.containers.read(one.id)
  assert.deepEqual([record.stdin, record.health?.intervalMs, record.health?.command], ['open', 4711, ['/bin/true']])
  assert.deepEqual([(await other.inspect()).restart.policy, (await other.inspect()).health], ['no', null])
  for (const each of [one, other, original]) await each.remove({ force: true })
})

test('a template is kept from prunes, and goes with all that it has', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  await using container = await Container.create(fixture.image, { engine, command: ['/bin/true'] })
  await container.writeFile('/srv/new', 'new')
  const template = await container.snapshot()
  await Image.prune({ engine, dangling: false, filters: { reference: 'localhost/wherry/*' } })
  await using fork = await Container.fork(template)
  assert.equal((await fork.wait()).exitCode, 0)
  await assert.rejects(Container.fork('none' as unknown as Template), InvalidOptionError)
  await using ofHost = await Container.create(Image.host(), { engine, command: ['/bin/true'] })
  await assert.rejects(ofHost.snapshot(), ConflictError)
  const aborter = new AbortController()
  const aborted = container.snapshot({ signal: aborter.signal })
  aborter.abort(new Error('enough'))
  await assert.rejects(aborted, /enough/)
  await fork.remove()
  await template.remove()
  assert.deepEqual(await Template.list({ engine }), [])
  assert.deepEqual(await readdir(join(engine.root, 'templates')), [])
  await engine.store.sweep()
  assert.deepEqual((await engine.verify()).faults, [])
  assert.deepEqual(
    (await Image.list({ engine })).flatMap(({ tags }) => tags),
    ['docker.io/library/test:latest'],
  )
})

test('a process that is killed over a snapshot leaves none, or a whole one', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  await using container = await Container.create(fixture.image, { engine, command: ['/bin/true'] })
  const files = Array.from({ length: 1000 }, (_, i) => ({ name: `srv/${i}`, body: 'x'.repeat(2000) }))
  await container.copyIn(Readable.from([makeTar(files)]), '/')
  const records = async (): Promise<string[]> => readdir(join(engine.root, 'templates')).catch(() => [])
  for (const isLate of [false, true]) {
    const child = spawn(execPath, [kProcess, engine.root, container.id], { stdio: 'inherit' })
    const ended = once(child, 'exit')
    await until(async () => (await records()).length > 0, 'a snapshot is under way')
    // Or it was done before anybody could look.
    const isRead = async (): Promise<boolean> =>
      child.exitCode !== null || (await readdir(join(engine.root, 'tmp'))).some((name) => name.includes('blob'))
    if (isLate) await until(isRead, 'files are read')
    child.kill('SIGKILL')
    await ended
    {
      await using other = await Engine.open({ root: engine.root })
      for (const { id } of await Template.list({ engine: other }))
        await (await Template.get(id, { engine: other })).remove()
      await other.store.sweep()
    }
    assert.deepEqual(await records(), [])
    assert.equal((await Image.list({ engine })).length, 1)
    assert.deepEqual((await engine.verify()).faults, [])
  }
})
