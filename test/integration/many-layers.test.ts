// SPDX-License-Identifier: MIT
// Images of as many layers as an overlay takes, with and without `lowerdir+`, and of one more.
import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import { digestOf } from '../../lib/oci/digest.ts'
import { withFaults } from '../fault/injection.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { makeTar } from '../helpers/make-tar.ts'
import { missing, needs } from '../helpers/needs.ts'
import { first, makeRootfs, packTar } from './image-fixtures.ts'
import { needsContainers } from './rootfs.ts'

checkLeftovers()

const kMostLayers = 499

/** An archive as of docker save: layers with a file of their own each, over a small root file system. */
function archiveOf(base: Buffer, layerCount: number): Buffer {
  const layers = [base]
  for (let i = 1; i < layerCount; i++)
    layers.push(
      makeTar([
        { name: 'in/', type: '5' },
        { name: `in/${i}`, body: `${i}` },
      ]),
    )
  const config = JSON.stringify({
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => digestOf(layer)) },
  })
  const names = layers.map((_, i) => `${i}.tar`)
  return makeTar([
    ...layers.map((body, i) => ({ name: names[i] as string, body })),
    { name: 'config.json', body: config },
    { name: 'manifest.json', body: JSON.stringify([{ Config: 'config.json', RepoTags: ['many:1'], Layers: names }]) },
  ])
}

const dir = mkdtempSync(join(tmpdir(), 'wherry-layers-'))
let engine: Engine
let base: Buffer
let image: Image
before(async () => {
  if (missing('root') !== undefined || missing('overlay') !== undefined) return
  engine = await Engine.open({ root: join(dir, 'root'), prepared: 0 })
  base = await readFile(await packTar(await makeRootfs(dir), join(dir, 'base.tar')))
  image = await load(kMostLayers)
})
after(async () => {
  await engine?.close()
  await rm(dir, { recursive: true, force: true })
})

async function load(layerCount: number): Promise<Image> {
  return first(await Image.load(Readable.from([archiveOf(base, layerCount)]), { engine }))
}

/** Looks at layers from the uppermost to the lowest, and writes on top of them. */
async function assertRuns(): Promise<void> {
  const script = 'busybox ls /in | busybox wc -l; busybox cat /in/1 /in/498; echo new > /in/new; busybox cat /in/new'
  const { stdout } = await Container.run(image, ['sh', '-c', script], { engine, env: { PATH: '/bin' } })
  assert.equal(stdout, `${kMostLayers - 1}\n1498new\n`)
}

test('an image of as many layers as an overlay takes runs', async (t) => {
  if (needsContainers(t)) await assertRuns()
})

test('it runs without lowerdir+', async (t) => {
  if (!needsContainers(t) || !needs(t, 'command:strace')) return
  await withFaults(engine, ['fsopen:error=ENOSYS'], assertRuns)
})

test('an image of one layer more is refused, with the limit, before anything is made', async (t) => {
  if (!needsContainers(t)) return
  const larger = await load(kMostLayers + 1)
  const refusal = {
    name: 'UnsupportedHostError',
    code: 'ERR_UNSUPPORTED_HOST',
    message: /more than 499 layers.*this image has 500.*Hint: /,
  }
  await assert.rejects(Container.run(larger, ['sh', '-c', 'true'], { engine }), refusal)
  await assert.rejects(Container.create(larger, { engine, command: ['sh'] }), refusal)
  assert.deepEqual(await Container.list({ engine, all: true }), [])
})
