// SPDX-License-Identifier: MIT
// A host that is itself a user namespace: its root is an ordinary user for the kernel, with no ids but those that are mapped.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { Container } from '../../lib/container.ts'
import { Image } from '../../lib/image.ts'
import { needs } from '../helpers/needs.ts'
import { packageRoot } from '../helpers/package-root.ts'
import { runOk } from '../helpers/run-child.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

/** Runs both kinds of images on an engine of its own, and prints what they and the engine say. */
function nestedProgram(root: string): string {
  const index = pathToFileURL(join(packageRoot(), 'build-ts/lib/index.js')).href
  return `
    const { Container, Engine, Image } = await import('${index}')
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
