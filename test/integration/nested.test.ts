// SPDX-License-Identifier: MIT
// A host that is itself a user namespace: its root is an ordinary user for the kernel, with no ids but those that are mapped.
import assert from 'node:assert/strict'
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { Container } from '../../lib/container.ts'
import { Image } from '../../lib/image.ts'
import { makeTar, type TarSpec } from '../helpers/make-tar.ts'
import { needs } from '../helpers/needs.ts'
import { packageRoot } from '../helpers/package-root.ts'
import { runOk } from '../helpers/run-child.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

const kIndexUrl = pathToFileURL(join(packageRoot(), 'build-ts/lib/index.js')).href

/** A file that belongs to nobody known, and a device. */
const kOthers: readonly TarSpec[] = [
  { name: 'srv/of-others', uid: 4_000_000, gid: 5_000_000, mode: 0o2750, body: 'x' },
  { name: 'srv/of-the-image', type: '3', deviceMajor: 1, deviceMinor: 3, uid: 7 },
]

/** Runs both kinds of images on an engine of its own, and prints what they and the engine say. */
function nestedProgram(root: string): string {
  return `
    const { Container, Engine, Image } = await import('${kIndexUrl}')
    const engine = await Engine.open({ root: '${root}' })
    const image = await Image.import('${join(fixture.dir, 'plain.tar')}', { engine })
    const script = 'id -u; echo scratch > /etc/written && cat /etc/written'
    const outputs = []
    for (const each of [Image.host(), image]) {
      outputs.push((await Container.run(each, ['/bin/sh', '-c', script], { engine })).stdout)
    }
    const { rootful, features } = await engine.info()
    await engine.close()
    console.log(JSON.stringify({ outputs, rootful, idRanges: features.find(({ name }) => name === 'idRanges').available }))`
}

const kExpected = { outputs: ['0\nscratch\n', '0\nscratch\n'], rootful: false, idRanges: false }

/** An image whose files all belong to root. */
async function makePlainTar(): Promise<void> {
  const own = ['--numeric-owner', '--owner=0', '--group=0', '--exclude=./home', '-C', join(fixture.dir, 'rootfs')]
  await runOk('tar', [...own, '-cf', join(fixture.dir, 'plain.tar'), '.'])
}

test('root of a user namespace that maps one id runs containers', async (t) => {
  if (!needsContainers(t) || !needs(t, 'command:unshare')) return
  await makePlainTar()
  const program = nestedProgram(join(await fixture.tempDir(), 'inner'))
  const node = [process.execPath, '--input-type=module', '-e', program]
  assert.deepEqual(JSON.parse(await runOk('unshare', ['--user', '--map-root-user', ...node])), kExpected)
})

test('root of a user namespace unpacks layers with other owners than those that it knows', async (t) => {
  if (!needsContainers(t) || !needs(t, 'command:unshare')) return
  const root = join(await fixture.tempDir(), 'inner')
  const tar = join(fixture.dir, 'owners.tar')
  await copyFile(join(fixture.dir, 'rootfs.tar'), tar)
  await writeFile(join(fixture.dir, 'more.tar'), makeTar(kOthers))
  await runOk('tar', ['-Af', tar, join(fixture.dir, 'more.tar')])
  const script = 'stat -c %u:%g:%a /home/alice /srv/of-others; ls /srv/of-the-image 2>/dev/null || echo none'
  const program = `
    const { Container, Engine, Image } = await import('${kIndexUrl}')
    const engine = await Engine.open({ root: '${root}' })
    const image = await Image.import('${tar}', { engine })
    const { stdout } = await Container.run(image, ['/bin/sh', '-c', ${JSON.stringify(script)}], { engine })
    await engine.close()
    process.stdout.write(stdout)`
  const node = [process.execPath, '--input-type=module', '-e', program]
  // As an ordinary user's containers have it: all files are root's, and devices are left out.
  assert.equal(await runOk('unshare', ['--user', '--map-root-user', ...node]), '0:0:755\n0:0:2750\nnone\n')
})

test('a container that may do so runs containers in itself', async (t) => {
  if (!needsContainers(t)) return
  await makePlainTar()
  const { stdout } = await Container.run(
    Image.host(),
    [process.execPath, '--input-type=module', '-e', nestedProgram('/srv/inner/root')],
    { engine: fixture.engine, privileged: true, mounts: [{ type: 'tmpfs', target: '/srv/inner' }] },
  )
  assert.deepEqual(JSON.parse(stdout), kExpected)
})
