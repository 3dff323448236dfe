// SPDX-License-Identifier: MIT
// Files of containers that run and of containers that do not: the same answers from both.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type TestContext, test } from 'node:test'
import { Container, type CreateOptions } from '../../lib/container.ts'
import { Image } from '../../lib/image.ts'
import { leavesNothing } from '../helpers/leftovers.ts'
import { needs } from '../helpers/needs.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

/** Runs a body on a container that runs and on one that does not, in both kinds of user namespace. */
function both(
  name: string,
  body: (container: Container, running: boolean, t: TestContext) => Promise<void>,
  options: CreateOptions = {},
): void {
  for (const running of [true, false]) {
    for (const userns of ['auto', 'host'] as const) {
      test(`${name} (${running ? 'running' : 'stopped'}, userns ${userns})`, async (t) => {
        if (!needsContainers(t)) return
        await using container = await sleeper({ userns, ...options })
        if (running) await container.start()
        await body(container, running, t)
      })
    }
  }
}

function sleeper(options: CreateOptions = {}): Promise<Container> {
  return Container.create(fixture.image, {
    engine: fixture.engine,
    command: ['/bin/sleep', '1000'],
    stopTimeoutMs: 0,
    ...options,
  })
}

/** What GNU tar sees in an archive. */
async function listTar(stream: Readable, ...flags: string[]): Promise<string> {
  const tar = spawn('tar', ['--numeric-owner', '-t', ...flags, '-f', '-'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const chunks: Buffer[] = []
  tar.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  const closed = once(tar, 'close')
  await pipeline(stream, tar.stdin)
  assert.deepEqual(await closed, [0, null])
  return Buffer.concat(chunks).toString()
}

function tarOf(...args: string[]): Readable {
  return spawn('tar', args, { stdio: ['ignore', 'pipe', 'inherit'] }).stdout
}

both('nothing is left where this process has no descriptor for who serves the files', async (container, _, t) => {
  const { native } = await fixture.engine.runtime()
  await container.stat('/')
  await leavesNothing(async () => {
    t.mock.method(native, 'fileSocket', () => {
      throw Object.assign(new Error('no more'), { code: 'EMFILE', syscall: 'socketpair' })
    })
    await assert.rejects(container.stat('/'), { code: 'EMFILE' })
    t.mock.restoreAll()
  })
})

both('files are written and read, with owner and mode', async (container, running) => {
  const binary = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 7) & 0xff))
  await container.writeFile('/srv/new', binary, { mode: 0o640, uid: 1000, gid: 50 })
  assert.ok((await container.readFile('/srv/new')).equals(binary))
  const { type, mode, uid, gid, sizeBytes, links } = await container.stat('/srv/new')
  assert.deepEqual(
    { type, mode, uid, gid, sizeBytes, links },
    { type: 'file', mode: 0o640, uid: 1000, gid: 50, sizeBytes: 3_000_000, links: 1 },
  )
  // One that is there keeps its owner and mode.
  await container.writeFile('srv/new', 'short')
  assert.equal(await container.readFile('/srv/new', { encoding: 'utf8' }), 'short')
  const again = await container.stat('/srv/new')
  assert.deepEqual([again.mode, again.uid, again.gid], [0o640, 1000, 50])
  assert.equal(await container.readFile('/srv/hello', { encoding: 'utf8' }), 'hello from the image\n')
  await assert.rejects(container.readFile('/srv/new', { maxBytes: 4 }), { code: 'EFBIG' })
  await assert.rejects(container.readFile('/nowhere'), { code: 'ENOENT', name: 'SyscallError' })
  await assert.rejects(container.readFile('/srv'), { code: 'EISDIR' })
  await assert.rejects(container.writeFile('/no/parent', ''), { code: 'ENOENT' })
  if (!running) return
  const program = await Container.get(container.id, { engine: fixture.engine })
  // Such links lead past all names.
  await assert.rejects(program.stat('/proc/1/exe'), { code: 'ELOOP' })
  assert.match(await container.readFile('/proc/1/status', { encoding: 'utf8' }), /^Name:/)
})

both('directories are listed, made and removed', async (container) => {
  assert.deepEqual(await container.readdir('/srv'), [
    { name: 'hello', type: 'file' },
    { name: 'sub', type: 'directory' },
  ])
  await container.mkdir('/srv/a', { mode: 0o711 })
  assert.equal((await container.stat('/srv/a')).mode, 0o711)
  await assert.rejects(container.mkdir('/srv/a'), { code: 'EEXIST' })
  await assert.rejects(container.mkdir('/srv/b/c'), { code: 'ENOENT' })
  await container.mkdir('/srv/a/b/c', { recursive: true })
  await container.mkdir('/srv/a/b/c', { recursive: true })
  await assert.rejects(container.mkdir('/srv/hello', { recursive: true }), { code: 'ENOTDIR' })
  await assert.rejects(container.rm('/srv/a'), { code: 'EISDIR' })
  await container.rm('/srv/a', { recursive: true })
  assert.equal(await container.exists('/srv/a'), false)
  assert.equal(await container.exists('/srv/hello/x'), false)
  await assert.rejects(container.rm('/srv/a', { recursive: true }), { code: 'ENOENT' })
  await container.rm('/srv/a', { force: true })
  await container.rm('/srv/a', { recursive: true, force: true })
  await container.rm('/absolute-link')
  assert.equal(await container.exists('/srv/hello'), true)
  await assert.rejects(container.rm('/', { recursive: true }), { code: 'EINVAL' })
})

both('links lead where the container sees them lead', async (container) => {
  for (const link of ['/absolute-link', '/climbing-link']) {
    assert.equal(await container.readFile(`${link}/hello`, { encoding: 'utf8' }), 'hello from the image\n')
    const { type, target } = await container.stat(link, { followSymlinks: false })
    assert.deepEqual([type, target], ['symlink', link === '/absolute-link' ? '/srv' : '../../../../srv'])
    assert.equal((await container.stat(link)).type, 'directory')
    await container.writeFile(`${link}/through`, link)
    assert.equal(await container.readFile('/srv/through', { encoding: 'utf8' }), link)
  }
  assert.equal(await container.exists('/dangling-link'), false)
  await container.writeFile('/dangling-link', 'made')
  assert.equal(await container.readFile('/nowhere', { encoding: 'utf8' }), 'made')
})

both('paths are copied in by the rules of docker cp', async (container) => {
  const dir = await fixture.tempDir()
  await mkdir(join(dir, 'tree/sub'), { recursive: true })
  await writeFile(join(dir, 'tree/sub/deep'), 'deep')
  await writeFile(join(dir, 'tree/file'), 'content', { mode: 0o600 })
  await chmod(join(dir, 'tree/file'), 0o751)
  await symlink('file', join(dir, 'tree/link'))
  execFileSync('chown', ['-R', '1234:1234', dir])
  const read = (path: string) => container.readFile(path, { encoding: 'utf8' })
  const file = join(dir, 'tree/file')
  const tree = join(dir, 'tree')
  // A file: to a path that is not there, over a file, into a directory.
  await container.copyIn(file, '/srv/copy')
  assert.equal(await read('/srv/copy'), 'content')
  const { mode, uid, gid } = await container.stat('/srv/copy')
  assert.deepEqual([mode, uid, gid], [0o751, 0, 0])
  await container.copyIn(file, '/srv/hello', { uid: 1, gid: 2, mode: 0o400 })
  const owned = await container.stat('/srv/hello')
  assert.deepEqual([owned.mode, owned.uid, owned.gid], [0o400, 1, 2])
  await container.copyIn(file, '/srv/sub')
  assert.equal(await read('/srv/sub/file'), 'content')
  await container.copyIn(file, '/absolute-link')
  assert.equal(await read('/srv/file'), 'content')
  await assert.rejects(container.copyIn(file, '/srv/missing/'), { code: 'ENOENT' })
  await assert.rejects(container.copyIn(file, '/missing/name'), { code: 'ENOENT' })
  await assert.rejects(container.copyIn(file, '/srv/copy/'), { code: 'ENOTDIR' })
  // A directory: becomes the path, goes into a directory, or its contents do.
  await container.copyIn(tree, '/fresh')
  assert.equal(await read('/fresh/sub/deep'), 'deep')
  assert.equal((await container.stat('/fresh/link', { followSymlinks: false })).target, 'file')
  assert.equal((await container.stat('/fresh/sub/deep')).uid, 0)
  await container.copyIn(tree, '/fresh')
  assert.equal(await read('/fresh/tree/sub/deep'), 'deep')
  await container.copyIn(`${tree}/.`, '/srv')
  assert.equal(await read('/srv/sub/deep'), 'deep')
  await assert.rejects(container.copyIn(tree, '/srv/copy'), { code: 'ENOTDIR' })
  await assert.rejects(container.copyIn(join(dir, 'nothing'), '/srv'), { code: 'ENOENT' })
  // No directory is put over something else, and nothing else over a directory.
  await container.mkdir('/clash/tree/file', { recursive: true })
  await assert.rejects(container.copyIn(tree, '/clash'), { name: 'LayerError' })
})

both('paths are copied out by the same rules', async (container) => {
  const dir = await fixture.tempDir()
  await container.writeFile('/srv/set-id', 'x', { mode: 0o6755, uid: 1000 })
  const at = (name: string) => join(dir, name)
  await container.copyOut('/srv/hello', at('copy'))
  assert.equal(await readFile(at('copy'), 'utf8'), 'hello from the image\n')
  await mkdir(at('there'))
  await container.copyOut('/srv/hello', at('there'))
  await container.copyOut('/srv', at('srv'))
  await container.copyOut('/srv', at('there'))
  await container.copyOut('/srv/.', at('there'))
  assert.deepEqual((await readdir(at('there'))).sort(), ['hello', 'set-id', 'srv', 'sub'])
  assert.equal(await readFile(at('there/srv/sub/deep'), 'utf8'), 'deep\n')
  const { mode, uid } = await stat(at('srv/set-id'))
  assert.deepEqual([mode & 0o7777, uid], [0o755, process.getuid?.()])
  await container.copyOut('/absolute-link', at('link'))
  assert.equal(await readlink(at('link')), '/srv')
  await assert.rejects(container.copyOut('/srv', at('copy')), { code: 'ENOTDIR' })
  await assert.rejects(container.copyOut('/srv/hello', at('missing/')), { code: 'ENOENT' })
  await assert.rejects(container.copyOut('/nowhere', at('x')), { code: 'ENOENT' })
})

both('tar archives go in and come out with their owners', async (container) => {
  const dir = await fixture.tempDir()
  await mkdir(join(dir, 'd'))
  await writeFile(join(dir, 'd/f'), 'in the archive')
  await writeFile(join(dir, 'big'), Buffer.alloc(5_000_000, 'ab'))
  await container.copyIn(tarOf('--numeric-owner', '--owner=7', '--group=8', '-C', dir, '-cf', '-', 'd', 'big'), '/srv')
  assert.equal(await container.readFile('/srv/d/f', { encoding: 'utf8' }), 'in the archive')
  const { uid, gid } = await container.stat('/srv/d/f')
  assert.deepEqual([uid, gid], [7, 8])
  assert.match(
    await listTar(await container.copyOut('/srv/d'), '-v'),
    /^drwx\S+ 7\/8 .* d\/\n-rw\S+ 7\/8 +14 .* d\/f\n$/,
  )
  assert.equal(await listTar(await container.copyOut('/srv/d/.')), './\nf\n')
  assert.equal(await listTar(await container.copyOut('/srv/big')), 'big\n')
  await assert.rejects(container.copyIn(tarOf('-C', dir, '-cf', '-', 'd'), '/nowhere'), { code: 'ENOTDIR' })
  await assert.rejects(container.copyOut('/nowhere'), { code: 'ENOENT' })
  // A stream that nobody reads to its end holds nothing up.
  const stream = await container.copyOut('/srv')
  await once(stream, 'readable')
  stream.destroy()
  await container.stat('/srv')
})

test('what is mounted is seen while a container runs', async (t) => {
  if (!needsContainers(t)) return
  const dir = await fixture.tempDir()
  await chmod(dir, 0o777)
  await writeFile(join(dir, 'bound'), 'from the host')
  const mounts = [
    { type: 'bind', source: dir, target: '/mnt/bind' },
    { type: 'tmpfs', target: '/mnt/tmpfs' },
  ] as const
  await using container = await sleeper({ mounts })
  await container.start()
  await container.writeFile('/mnt/tmpfs/x', 'in memory')
  await container.writeFile('/mnt/bind/new', 'to the host')
  assert.equal(await readFile(join(dir, 'new'), 'utf8'), 'to the host')
  assert.equal(
    await listTar(await container.copyOut('/mnt')),
    'mnt/\nmnt/bind/\nmnt/bind/bound\nmnt/bind/new\nmnt/tmpfs/\nmnt/tmpfs/x\n',
  )
  const exported = await listTar(container.export())
  assert.match(exported, /^mnt\/bind\/\nmnt\/tmpfs\/\n/m)
  await container.stop()
  assert.equal(await container.exists('/mnt/tmpfs/x'), false)
  assert.equal(await container.exists('/mnt/bind/bound'), false)
})

test('a read-only root stays so', async (t) => {
  if (!needsContainers(t)) return
  await using container = await sleeper({ readOnly: true })
  await assert.rejects(container.writeFile('/srv/x', ''), { code: 'EROFS' })
  await container.start()
  await assert.rejects(container.writeFile('/srv/x', ''), { code: 'EROFS' })
  assert.equal(await container.readFile('/srv/hello', { encoding: 'utf8' }), 'hello from the image\n')
})

test('work on files goes on where a container is paused, and ends with an abort', async (t) => {
  if (!needsContainers(t)) return
  await using container = await sleeper()
  await container.start()
  await container.pause()
  await container.writeFile('/srv/x', 'while paused')
  assert.equal(await container.readFile('/srv/x', { encoding: 'utf8' }), 'while paused')
  await container.resume()
  const reason = new Error('enough')
  await assert.rejects(container.stat('/', { signal: AbortSignal.abort(reason) }), reason)
  const stop = new AbortController()
  const endless = tarOf('-cf', '-', '/usr/bin')
  const copying = container.copyIn(endless, '/srv', { signal: stop.signal })
  setImmediate(() => stop.abort(reason))
  await assert.rejects(copying, reason)
  assert.equal(endless.destroyed, true)
})

test('changes are told as docker diff tells them', async (t) => {
  if (!needsContainers(t)) return
  await using container = await sleeper()
  assert.deepEqual(await container.changes(), [])
  await container.writeFile('/srv/new', '')
  await container.writeFile('/etc/passwd', 'changed')
  await container.rm('/srv/sub', { recursive: true })
  const expected = [
    { path: '/etc', kind: 'modified' },
    { path: '/etc/passwd', kind: 'modified' },
    { path: '/srv', kind: 'modified' },
    { path: '/srv/new', kind: 'added' },
    { path: '/srv/sub', kind: 'deleted' },
  ]
  assert.deepEqual(await container.changes(), expected)
  await container.start()
  assert.deepEqual(await container.changes(), expected)
  await using host = await Container.create(Image.host(), { engine: fixture.engine, command: ['true'] })
  await assert.rejects(host.changes(), { name: 'ConflictError' })
  await assert.rejects(host.commit(), { name: 'ConflictError' })
})

both('a commit is an image with what was written', async (container, running) => {
  await container.writeFile('/srv/new', 'committed', { uid: 1000, gid: 1000, mode: 0o600 })
  await container.rm('/srv/hello')
  const image = await container.commit('committed:1', {
    changes: {
      Cmd: ['/bin/sh', '-c', 'cat /srv/new; stat -c %u:%g:%a /srv/new; ls /srv; echo $A'],
      Env: ['A=b', 'PATH=/bin'],
    },
    author: 'somebody',
    message: 'a test',
  })
  assert.deepEqual(image.tags, ['docker.io/library/committed:1'])
  const { stdout } = await Container.run(image, undefined, { engine: fixture.engine })
  assert.equal(stdout, 'committed1000:1000:600\nnew\nsub\nb\n')
  const step = (await image.history()).at(-1)
  assert.equal(step?.createdBy, '/bin/sh -c cat /srv/new; stat -c %u:%g:%a /srv/new; ls /srv; echo $A')
  assert.equal(image.layers.length, fixture.image.layers.length + 1)
  assert.equal((await container.inspect()).status, running ? 'running' : 'created')
  await image.remove()
})

test('the root of a container stays open to its users, whatever the umask of who asks for its changes', async (t) => {
  if (!needsContainers(t)) return
  const umask = process.umask(0o077)
  t.after(() => process.umask(umask))
  await using container = await sleeper()
  assert.deepEqual(await container.changes(), [])
  await container.start()
  assert.equal((await container.stat('/')).mode & 0o7777, 0o755)
})

test('a committed image is one that other tools read', async (t) => {
  if (!needsContainers(t) || !needs(t, 'command:skopeo')) return
  await using container = await sleeper({
    env: { A: 'b' },
    user: 'alice',
    labels: { of: 'the container' },
    cwd: '/srv',
  })
  await container.writeFile('/srv/new', 'x')
  await container.rm('/srv/hello')
  const image = await container.commit()
  const dir = await fixture.tempDir()
  await image.save(join(dir, 'layout'), { format: 'oci-dir' })
  const read = (...args: string[]) => JSON.parse(execFileSync('skopeo', args, { encoding: 'utf8' }))
  assert.equal(read('inspect', `oci:${join(dir, 'layout')}`).Layers.length, image.layers.length)
  const { config } = read('inspect', '--config', `oci:${join(dir, 'layout')}`)
  assert.deepEqual(config, {
    Cmd: ['/bin/sleep', '1000'],
    Env: ['A=b'],
    User: 'alice',
    WorkingDir: '/srv',
    Labels: { of: 'the container' },
  })
  execFileSync('skopeo', ['copy', '-q', `oci:${join(dir, 'layout')}`, `dir:${join(dir, 'copied')}`])
  const blob = (image.layers.at(-1)?.digest ?? '').replace('sha256:', '')
  const names = execFileSync('tar', ['-tzf', join(dir, 'copied', blob)], { encoding: 'utf8' })
  assert.equal(names, './\nsrv/\nsrv/.wh.hello\nsrv/new\n')
  await image.remove()
})

test('an export is what tar makes inside', async (t) => {
  if (!needsContainers(t)) return
  await using container = await sleeper()
  await container.start()
  await container.writeFile('/srv/new', 'x', { uid: 5 })
  const exported = await listTar(container.export(), '-v')
  for (const line of [
    /^drwx------ 0\/0 .* sealed\/$/m,
    /^-rwsr-xr-x 0\/0 .* probe-setuid$/m,
    /^-rw-r--r-- 5\/0 +1 .* srv\/new$/m,
  ]) {
    assert.match(exported, line)
  }
  assert.match(exported, /^lrwx.* absolute-link -> \/srv$/m)
  assert.doesNotMatch(exported, / proc\/./)
  await container.stop()
  const stopped = (await listTar(container.export(), '-v')).split('\n')
  assert.deepEqual(stopped, exported.split('\n'))
})
