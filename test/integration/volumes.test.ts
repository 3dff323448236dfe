// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { ConflictError, InvalidOptionError, NotFoundError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import type { MountOptions } from '../../lib/options/container-options.ts'
import { Volume } from '../../lib/volume.ts'
import { makeTar } from '../helpers/make-tar.ts'
import { until } from '../helpers/until.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

const volume = (source: string, more: object = {}): MountOptions => ({
  type: 'volume',
  source,
  target: '/data',
  ...more,
})

/** What a shell script prints with some mounts. */
const sh = (script: string, mounts: MountOptions[], more: object = {}): Promise<string> =>
  fixture.sh(script, { mounts, ...more })

/** The test image with a directory of many kinds of files, which it wants as a volume. */
async function richImage(name: string): Promise<Image> {
  const { engine } = fixture
  await using made = await Container.create(fixture.image, {
    engine,
    command: [
      '/bin/sh',
      '-ec',
      `mkdir -p /data/sub/empty /data/secret; echo one > /data/one; ln /data/one /data/sub/hard; ln -s one /data/soft
       echo x > /data/exec; chown 1000:1001 /data /data/exec; chmod 4755 /data/exec; chmod 1770 /data
       chmod 700 /data/secret; touch -d '2001-02-03 04:05:06' /data/one; echo kept > /etc/marker`,
    ],
  })
  await made.start()
  await made.wait()
  return await made.commit(name, { changes: { Volumes: { '/data': {} } } })
}

test('a volume is made, found, listed and removed', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const made = await Volume.create('first', { engine, labels: { of: 'test' } })
  assert.equal(made.name, 'first')
  const { mountpoint, createdAt, ...rest } = await made.inspect()
  assert.deepEqual(rest, { name: 'first', labels: { of: 'test' }, anonymous: false })
  assert.deepEqual(await readdir(mountpoint), [])
  assert.ok(Math.abs(Date.parse(createdAt) - Date.now()) < 60_000)
  // Once more is the same one.
  assert.equal((await (await Volume.create('first', { engine })).inspect()).createdAt, createdAt)
  await assert.rejects(Volume.create('first', { engine, labels: { of: 'other' } }), ConflictError)
  const unnamed = await Volume.create(undefined, { engine })
  assert.match(unnamed.name, /^[0-9a-f]{64}$/)

  const names = async (filters: object): Promise<string[]> =>
    (await Volume.list({ engine, filters })).map(({ name }) => name)
  assert.deepEqual(await names({ name: 'irs' }), ['first'])
  assert.deepEqual(await names({ label: 'of=test' }), ['first'])
  assert.deepEqual(await names({ label: ['of', 'other'] }), [])
  assert.deepEqual(await names({ dangling: true }), [unnamed.name, 'first'].sort())
  await using holder = await Container.create(fixture.image, { engine, mounts: [volume('first')] })
  assert.deepEqual(await names({ dangling: false }), ['first'])

  await assert.rejects(made.remove(), ConflictError)
  assert.deepEqual((await Volume.prune({ engine })).removed, [unnamed.name])
  assert.deepEqual((await Volume.prune({ engine, all: true })).removed, [])
  await holder.remove({ volumes: true })
  assert.deepEqual((await Volume.prune({ engine, all: true })).removed, ['first'])
  await assert.rejects(made.remove(), NotFoundError)
  await made.remove({ force: true })
  await assert.rejects(made.inspect(), NotFoundError)
  await assert.rejects(Volume.get('first', { engine }), NotFoundError)
})

test('names and options that cannot be are refused', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  for (const name of ['', 'x', '../up', 'a/b', '.hidden', 'a b', 'a'.repeat(256)]) {
    await assert.rejects(Volume.create(name, { engine }), InvalidOptionError, name)
  }
  const refused: [mount: object, option: string][] = [
    [{ source: './here' }, 'mounts[0].source'],
    [{ subpath: '../up', source: 'some' }, 'mounts[0].subpath'],
    [{ subpath: '/top', source: 'some' }, 'mounts[0].subpath'],
    [{ readOnly: true }, 'mounts[0].source'],
    [{ nocopy: true }, 'mounts[0].nocopy'],
  ]
  for (const [mount, option] of refused) {
    const mounts = [{ type: 'volume', target: '/data', ...mount } as MountOptions]
    await assert.rejects(fixture.run(['/bin/true'], { mounts }), (error: InvalidOptionError) => {
      assert.equal(error.option, option)
      return true
    })
  }
  assert.deepEqual(await Volume.list({ engine }), [])
})

test('containers share a volume, whatever their user namespaces', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  await sh('echo from one > /data/file; chown 1000:50 /data/file; mkdir /data/sub; ln -s / /data/out', [
    volume('shared'),
  ])
  for (const userns of ['auto', 'host'] as const) {
    assert.equal(
      await sh('stat -c %u:%g /data/file; cat /data/file', [volume('shared')], { userns }),
      '1000:50\nfrom one\n',
    )
  }
  const readOnly = await fixture.run(['/bin/sh', '-c', 'echo no > /data/file'], {
    mounts: [volume('shared', { readOnly: true })],
    reject: false,
  })
  assert.match(readOnly.stderr, /Read-only file system/)
  await sh('echo deep > /data/deep', [volume('shared', { subpath: 'sub' })])
  assert.equal(await sh('cat /data/sub/deep', [volume('shared')]), 'deep\n')
  assert.equal(
    await sh('ls /data', [volume('shared', { subpath: 'out' })]),
    'file\nout\nsub\n',
    'a link stays in the volume',
  )
  await assert.rejects(fixture.run(['/bin/true'], { mounts: [volume('shared', { subpath: 'absent' })] }), {
    option: 'mounts[0].subpath',
  })
  await (await Volume.get('shared', { engine })).remove()
})

test('a volume in use by a run cannot be removed', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  let attempt: Promise<void> | undefined
  const onStart = ({ kill }: { kill: (signal: string) => void }): void => {
    attempt = Volume.get('busy', { engine })
      .then((found) => found.remove())
      .finally(() => kill('SIGKILL'))
    attempt.catch(() => undefined)
  }
  await fixture.run(['/bin/sleep', '60'], { mounts: [volume('busy')], onStart, reject: false })
  await assert.rejects(attempt ?? Promise.resolve(), ConflictError)
  await (await Volume.get('busy', { engine })).remove()
})

const kListing = `cd /data; stat -c '%n %a %u:%g %h' . one exec sub sub/hard sub/empty secret; readlink soft; cat sub/hard
  stat -c %Y one; [ one -ef sub/hard ] && echo linked`
const kListed = `. 1770 1000:1001 4
one 644 0:0 2
exec 4755 1000:1001 1
sub 755 0:0 3
sub/hard 644 0:0 2
sub/empty 755 0:0 2
secret 700 0:0 2
one
one
981173106
linked
`

test('an empty volume is filled from the image', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const image = await richImage('rich')
  const run = (script: string, mount: MountOptions, more: object = {}): Promise<string> =>
    Container.run(image, ['/bin/sh', '-ec', script], { engine, mounts: [mount], ...more }).then(({ stdout }) => stdout)
  for (const userns of ['auto', 'host'] as const) {
    assert.equal(await run(kListing, volume(`full-${userns}`), { userns }), kListed)
  }
  assert.equal(
    await run('ls -A /data; rm -rf /data/one', volume('full-auto'), { userns: 'host' }),
    'exec\none\nsecret\nsoft\nsub\n',
  )
  assert.equal(await run('ls -A /data', volume('full-auto')), 'exec\nsecret\nsoft\nsub\n', 'filled once only')
  assert.equal(await run('ls -A /data', volume('empty', { noCopy: true })), '')
  // Ten at once: each sees all of it.
  const seen = await Promise.all(Array.from({ length: 10 }, () => run('ls -A /data | wc -l', volume('raced'))))
  assert.deepEqual([...new Set(seen)], ['5\n'])
  // As if somebody had been killed over it.
  const { mountpoint } = await (await Volume.create('broken', { engine })).inspect()
  await writeFile(join(mountpoint, 'half'), 'a half of it')
  await writeFile(join(mountpoint, '../filling'), '')
  assert.equal(await run(kListing, volume('broken')), kListed)
  await Volume.prune({ engine, all: true })
  assert.deepEqual(await Volume.list({ engine }), [])
})

test('a volume that an image asks for goes with its container only when that is said', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const image = await richImage('rich-asking')
  const command = ['/bin/sh', '-ec', 'echo again >> /data/log; echo mine > /etc/mine']
  const volumes = async (): Promise<string[]> => (await Volume.list({ engine })).map(({ name }) => name)
  await using lasting = await Container.create(image, { engine, command })
  const [mount] = (await lasting.inspect()).mounts
  assert.deepEqual(await volumes(), [mount?.name])
  assert.deepEqual({ ...mount, name: '', source: '' }, { ...kAnonymous, name: '', source: '' })
  // Before it has been started, and while it is stopped, its files are to be seen as they will be.
  assert.equal(await lasting.readFile('/data/one', { encoding: 'utf8' }), 'one\n')
  await lasting.writeFile('/data/log', 'written\n')
  for (let i = 0; i < 2; i++) {
    await lasting.start()
    await lasting.wait()
  }
  assert.equal(await lasting.readFile('/data/log', { encoding: 'utf8' }), 'written\nagain\nagain\n')
  const changed = (await lasting.changes()).map(({ path }) => path)
  assert.deepEqual(changed, ['/etc', '/etc/mine'])
  await using _image = { [Symbol.asyncDispose]: async () => void (await Image.remove('without', { engine })) }
  const committed = await lasting.commit('without')
  assert.equal(
    (await Container.run(committed, ['/bin/ls', '/data'], { engine })).stdout,
    'exec\none\nsecret\nsoft\nsub\n',
  )

  await lasting.remove()
  assert.deepEqual(await volumes(), [mount?.name])
  await Volume.prune({ engine })
  const other = await Container.create(image, { engine, command, mounts: [{ type: 'volume', target: '/more' }] })
  assert.equal((await volumes()).length, 2)
  await other.remove({ volumes: true })
  assert.deepEqual(await volumes(), [])

  const passing = await Container.start(image, {
    engine,
    command,
    autoRemove: true,
    mounts: [volume('named', { target: '/named' })],
  })
  await passing.wait()
  await engine.containers.settle()
  assert.deepEqual(await volumes(), ['named'])
  await (await Volume.get('named', { engine })).remove()
})

const kAnonymous = { type: 'volume', target: '/data', readOnly: false, anonymous: true }

test('volumes count among what takes space, and are looked at by a verification', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const empty = await engine.diskUsage()
  assert.deepEqual(empty.volumes, { count: 0, inUse: 0, bytes: 0, reclaimableBytes: 0 })
  await using holder = await Container.create(fixture.image, { engine, mounts: [volume('used')] })
  const idle = await Volume.create('idle', { engine })
  const { mountpoint } = await idle.inspect()
  await writeFile(join(mountpoint, 'file'), Buffer.alloc(100_000, 'x'))
  const { volumes, totalBytes } = await engine.diskUsage()
  assert.deepEqual([volumes.count, volumes.inUse], [2, 1])
  assert.ok(volumes.reclaimableBytes >= 100_000 && volumes.bytes > volumes.reclaimableBytes)
  assert.ok(totalBytes >= volumes.bytes)
  assert.deepEqual((await engine.verify()).faults, [])
  await writeFile(join(mountpoint, '../volume.json'), '{"name":')
  await writeFile(join(mountpoint, '../stray'), '')
  assert.deepEqual((await engine.verify()).faults, [
    { path: 'volumes/idle/volume.json', reason: 'is not JSON' },
    { path: 'volumes/idle/stray', reason: 'has no place here' },
  ])
  await rm(join(mountpoint, '..'), { recursive: true })
  await holder.remove()
  await Volume.prune({ engine, all: true })
})

test('attributes of files come along into a volume', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  // CAP_NET_RAW, permitted and effective.
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex')
  const pax = { 'SCHILY.xattr.user.of': 'image', 'SCHILY.xattr.security.capability': capability }
  const tar = join(await fixture.tempDir(), 'attributes.tar')
  await writeFile(
    tar,
    makeTar([
      { name: 'data/', type: '5', mode: 0o755 },
      { name: 'data/ping', body: 'x', mode: 0o755, pax },
    ]),
  )
  const image = await Image.import(tar, { engine })
  await using _container = await Container.create(image, { engine, mounts: [volume('attributes')] })
  const { mountpoint } = await (await Volume.get('attributes', { engine })).inspect()
  const fd = engine.native.openat2(engine.native.fsConstants.AT_FDCWD, join(mountpoint, 'ping'), { flags: 0 })
  try {
    assert.equal(engine.native.fgetxattr(fd, 'user.of')?.toString(), 'image')
    assert.deepEqual(engine.native.fgetxattr(fd, 'security.capability'), capability)
  } finally {
    engine.native.close(fd)
  }
})

test('filling that is aborted leaves a volume empty', async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const files = Array.from({ length: 500 }, (_, i) => ({ name: `data/sub/${i}`, body: 'x' }))
  const tar = join(await fixture.tempDir(), 'many.tar')
  await writeFile(tar, makeTar(files))
  const image = await Image.import(tar, { engine })
  const { mountpoint } = await (await Volume.create('aborted', { engine })).inspect()
  const aborter = new AbortController()
  const creating = Container.create(image, { engine, mounts: [volume('aborted')], signal: aborter.signal })
  await until(async () => (await readdir(mountpoint)).length > 0, 'it is being filled')
  aborter.abort(new Error('enough'))
  await assert.rejects(creating, /enough/)
  assert.deepEqual(await readdir(mountpoint), [])
  assert.deepEqual(await Container.list({ engine, all: true }), [])
  await using whole = await Container.create(image, { engine, mounts: [volume('aborted')] })
  assert.equal((await whole.readdir('/data/sub')).length, 500)
  await whole.remove()
  await Volume.prune({ engine, all: true })
})

test('a volume at several places of a container is filled from the first that the image has', {
  timeout: 30_000,
}, async (t) => {
  if (!needsContainers(t)) return
  const { engine } = fixture
  const tar = join(await fixture.tempDir(), 'places.tar')
  await writeFile(tar, makeTar([{ name: 'one/of-one' }, { name: 'two/of-two' }, { name: 'none/', type: '5' }]))
  const image = await Image.import(tar, { engine })
  const filledBy = async (...mounts: MountOptions[]): Promise<string[]> => {
    await using made = await Container.create(image, { engine, mounts })
    const { mountpoint } = await (await Volume.get('places', { engine })).inspect()
    const names = await readdir(mountpoint)
    await made.remove()
    await Volume.prune({ engine, all: true })
    return names
  }
  const at = (target: string, more: object = {}): MountOptions => volume('places', { target, ...more })
  assert.deepEqual(await filledBy(at('/two'), at('/one')), ['of-two'])
  assert.deepEqual(await filledBy(at('/absent'), at('/none'), at('/one'), at('/two')), ['of-one'])
  assert.deepEqual(await filledBy(at('/one', { noCopy: true }), at('/two', { readOnly: true })), ['of-two'])
  assert.deepEqual(await filledBy(at('/one', { noCopy: true }), at('/two', { noCopy: true })), [])
})
