// SPDX-License-Identifier: MIT
// A container's files are its own to arrange: nothing in them may reach the host, hold a call up, or be opened that acts.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { Container, type CreateOptions } from '../../lib/container.ts'
import { needsContainers, useFixture } from '../integration/rootfs.ts'

const fixture = useFixture()

function create(script: string, options: CreateOptions = {}): Promise<Container> {
  return Container.create(fixture.image, {
    engine: fixture.engine,
    command: ['/bin/sh', '-c', script],
    stopTimeoutMs: 0,
    ...options,
  })
}

/** A directory of the host with a secret, and a way for a container's links to name it. */
async function secretPlace(): Promise<{ dir: string; secret: string }> {
  const dir = await fixture.tempDir()
  const secret = join(dir, 'secret')
  await writeFile(secret, 'of the host')
  return { dir, secret }
}

for (const userns of ['auto', 'host'] as const) {
  for (const running of [true, false]) {
    test(`links and dots stay inside (${running ? 'running' : 'stopped'}, userns ${userns})`, async (t) => {
      if (!needsContainers(t)) return
      const { dir, secret } = await secretPlace()
      const up = '../'.repeat(40)
      await using container = await create(
        `mkdir /evil; ln -s ${secret} /evil/absolute; ln -s ${up}${secret.slice(1)} /evil/up; ln -s ${dir} /evil/dir; ` +
          'ln -s /proc/1/root/ /evil/magic; ln -s / /evil/root; : > /evil/done; exec sleep 1000',
        { userns },
      )
      await container.start()
      while (!(await container.exists('/evil/done')));
      if (!running) await container.stop()
      for (const path of [
        '/evil/absolute',
        '/evil/up',
        '/evil/dir/secret',
        `${up}${secret}`,
        `/evil/root/..${secret}`,
      ]) {
        await assert.rejects(container.readFile(path), { code: 'ENOENT' }, path)
        await assert.rejects(container.writeFile(path, 'changed'), { code: 'ENOENT' }, path)
        await assert.rejects(container.copyOut(`${path}/.`), /ENOENT|ENOTDIR/, path)
      }
      if (running) await assert.rejects(container.readFile(`/proc/1/root${secret}`), { code: 'ELOOP' })
      await assert.rejects(container.readdir('/evil/dir'), { code: 'ENOENT' })
      // A link is removed, and not what it names.
      await container.rm('/evil/root', { recursive: true })
      assert.equal(await container.exists('/srv/hello'), true)
      assert.equal(await readFile(secret, 'utf8'), 'of the host')
    })
  }
}

test('an archive cannot leave its target', async (t) => {
  if (!needsContainers(t)) return
  const { dir, secret } = await secretPlace()
  await mkdir(join(dir, 'a'))
  await symlink(dir, join(dir, 'a/link'))
  await writeFile(join(dir, 'a/file'), 'x')
  await using container = await create('exec sleep 1000')
  const tar = (...args: string[]): Readable =>
    spawn('tar', ['-P', '-C', dir, '-cf', '-', ...args], { stdio: ['ignore', 'pipe', 'inherit'] }).stdout
  await assert.rejects(container.copyIn(tar('--transform=s,^a/file,../../escaped,', 'a/file'), '/srv'), {
    name: 'LayerError',
  })
  // Through a link of the archive itself: below the container's root, where there is no such directory.
  await assert.rejects(container.copyIn(tar('a/link', '--transform=s,^secret,a/link/planted,', 'secret'), '/srv'))
  assert.deepEqual((await readdir(dir)).sort(), ['a', 'secret'])
  await assert.rejects(container.copyIn(Readable.from([Buffer.alloc(10_240, 0x41)]), '/srv'), { name: 'LayerError' })
  assert.equal(await readFile(secret, 'utf8'), 'of the host')
})

test('devices, FIFOs and sockets are looked at and never opened', async (t) => {
  if (!needsContainers(t)) return
  await using container = await create('mkfifo /fifo; : > /done; exec sleep 1000', { userns: 'host' })
  await container.start()
  while (!(await container.exists('/done')));
  const dir = await fixture.tempDir()
  for (const path of ['/fifo', '/dev/zero', '/dev/tty']) {
    const { type } = await container.stat(path)
    assert.equal(type, path === '/fifo' ? 'fifo' : 'char-device')
    await assert.rejects(container.readFile(path), { code: 'EINVAL' }, path)
    await assert.rejects(container.writeFile(path, 'x'), { code: 'EINVAL' }, path)
    await assert.rejects(container.copyOut(path, join(dir, 'x')), { code: 'EINVAL' }, path)
  }
  // In a tree they stay behind, and are counted.
  const { skipped } = await container.copyOut('/.', join(dir, 'all'))
  assert.ok(skipped > 3)
  await assert.rejects(lstat(join(dir, 'all/fifo')), { code: 'ENOENT' })
})

test('a container that swaps names for links meanwhile gains nothing', async (t) => {
  if (!needsContainers(t)) return
  const { dir, secret } = await secretPlace()
  // /race/x is a directory, a link to the host's path, and a file in turn; /race/y/deep the same, one level down.
  const script = `mkdir -p /race /keep/d; echo inside > /keep/d/secret; echo inside > /keep/secret; cd /race; : > /done
    while :; do ln -s ${dir} x; rm x; cp -r /keep/d x; rm -r x; cp /keep/secret x; rm x; done`
  await using container = await create(script)
  await container.start()
  while (!(await container.exists('/done')));
  const out = join(await fixture.tempDir(), 'out')
  const allowed = /ENOENT|ENOTDIR|EISDIR|ELOOP|EEXIST|EINVAL|LayerError|ENOTEMPTY/
  const outcomes = { done: 0, refused: 0 }
  const attempt = async (work: () => Promise<unknown>): Promise<void> => {
    await work().then(
      () => outcomes.done++,
      (error: Error & { code?: string }) => {
        outcomes.refused++
        assert.match(`${error.code} ${error.name}`, allowed, String(error.stack))
      },
    )
  }
  for (let round = 0; round < 40; round++) {
    await attempt(() => container.writeFile('/race/x/secret', 'changed'))
    await attempt(async () =>
      assert.notEqual(await container.readFile('/race/x/secret', { encoding: 'utf8' }), 'of the host'),
    )
    await attempt(() => container.copyIn(secret, '/race/x/secret'))
    await attempt(() => container.rm('/race/x', { recursive: true }))
    await attempt(() =>
      container.copyOut('/race', join(out, String(round))).catch(() => container.copyOut('/race', out)),
    )
  }
  assert.equal(await readFile(secret, 'utf8'), 'of the host')
  assert.deepEqual(await readdir(dir), ['secret'])
  assert.ok(outcomes.done > 0)
})

test('what a container made gains nothing on the host', async (t) => {
  if (!needsContainers(t)) return
  await using container = await create('exec sleep 1000')
  await container.writeFile('/srv/root-shell', 'x', { mode: 0o6755 })
  const dir = await fixture.tempDir()
  await container.copyOut('/srv/root-shell', join(dir, 'one'))
  await container.copyOut('/srv', join(dir, 'tree'))
  for (const path of ['one', 'tree/root-shell']) assert.equal((await lstat(join(dir, path))).mode & 0o7777, 0o755, path)
  // A link that lies at the target is not followed once the copy is under way.
  await mkdir(join(dir, 'target'))
  await mkdir(join(dir, 'elsewhere'))
  await symlink('../elsewhere', join(dir, 'target/sub'))
  await assert.rejects(container.copyOut('/srv/.', join(dir, 'target')), { name: 'LayerError' })
  assert.deepEqual(await readdir(join(dir, 'elsewhere')), [])
})
