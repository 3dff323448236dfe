// SPDX-License-Identifier: MIT
// The umask of whoever calls decides nothing: neither what containers see, nor who can use a root.
import assert from 'node:assert/strict'
import { chown, lstat, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { packageRoot } from '../helpers/package-root.ts'
import { runOk } from '../helpers/run-child.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

const kNobody = 65534

const kScript = `umask; umask 022; mkdir /srv/made
  stat -c '%a %n' / /etc /etc/hostname /etc/hosts /etc/resolv.conf /dev /dev/shm /proc /srv /srv/a /srv/a/target /volume`

/** Fills a root below `dir` with one of everything, and prints what a container sees. */
function program(dir: string): string {
  const index = pathToFileURL(join(packageRoot(), 'build-ts/lib/index.js')).href
  return `
    import { createReadStream } from 'node:fs'
    import { chmod } from 'node:fs/promises'
    const { Container, Engine, Image } = await import('${index}')
    const root = '${dir}/parent/root'
    let engine = await Engine.open({ root })
    const image = await Image.import(createReadStream('${join(fixture.dir, 'rootfs.tar')}'), { engine })
    await image.save('${dir}/saved.tar', { compression: 'gzip' })
    await chmod('${dir}/saved.tar', 0o600)
    await image.save('${dir}/layout', { format: 'oci-dir' })
    await image.remove()
    await engine.close()
    engine = await Engine.open({ root })
    const [loaded] = await Image.load('${dir}/saved.tar', { engine })
    const mounts = [{ type: 'tmpfs', target: '/srv/a/target' }, { type: 'volume', source: 'kept', target: '/volume' }]
    const options = { engine, mounts }
    const { stdout } = await Container.run(loaded, ['/bin/sh', '-c', ${JSON.stringify(kScript)}], options)
    const container = await Container.start(loaded, { ...options, command: ['/bin/sleep', '100'], detached: true })
    const inside = await container.exec(['/bin/sh', '-c', 'umask'])
    await container.stop({ timeoutMs: 0 })
    await container.wait()
    await engine.close()
    process.stdout.write(stdout + inside.stdout)`
}

/** Types and modes of all that is below a directory, ids replaced. */
async function modesBelow(dir: string, name = ''): Promise<string[]> {
  const stats = await lstat(join(dir, name))
  const kind = stats.isDirectory() ? 'd' : stats.isSymbolicLink() ? 'l' : stats.isSocket() ? 's' : '-'
  const own = `${kind}${(stats.mode & 0o7777).toString(8)} ${name.replace(/[0-9a-f]{12,}/g, 'X')}`
  if (!stats.isDirectory()) return [own]
  const names = (await readdir(join(dir, name))).sort()
  const inner = await Promise.all(names.map((each) => modesBelow(dir, join(name, each))))
  return [own, ...inner.flat()].sort()
}

for (const [who, ids] of [
  ['root', {}],
  ['an ordinary user', { uid: kNobody, gid: kNobody }],
] as const) {
  test(`the umask of ${who} has no part in modes`, async (t) => {
    if (!needsContainers(t)) return
    const found: { mask: string; stdout: string; modes: string[] }[] = []
    for (const mask of ['0022', '0077', '0777']) {
      const dir = await fixture.tempDir()
      if ('uid' in ids) await chown(dir, ids.uid, ids.gid)
      const node = `umask ${mask}; exec "$0" --input-type=module -e "$1"`
      const stdout = await runOk('/bin/sh', ['-c', node, process.execPath, program(dir)], { ...ids, cwd: '/' })
      found.push({ mask, stdout, modes: await modesBelow(join(dir, 'parent/root')) })
    }
    const [usual, ...others] = found
    assert.match(usual?.stdout ?? '', /^0022\n(.*\n)*0022\n$/)
    assert.ok((usual?.modes.length ?? 0) > 50)
    for (const { mask, stdout, modes } of others) {
      assert.equal(stdout, usual?.stdout, mask)
      assert.deepEqual(modes, usual?.modes, mask)
    }
  })
}

test('parents of a root can be used by who makes them, whatever the umask', async (t) => {
  if (!needsContainers(t)) return
  const dir = await fixture.tempDir()
  await mkdir(join(dir, 'own'))
  const text = `umask 0777; exec "$0" --input-type=module -e "$1"`
  const index = pathToFileURL(join(packageRoot(), 'build-ts/lib/index.js')).href
  const source = `const { Engine } = await import('${index}'); await (await Engine.open({ root: '${dir}/own/a/b/root' })).close()`
  await runOk('/bin/sh', ['-c', text, process.execPath, source])
  const modes = await modesBelow(join(dir, 'own/a'))
  assert.deepEqual(
    modes.filter((line) => !line.includes('root/')),
    ['d700 ', 'd700 b', 'd711 b/root'],
  )
})
