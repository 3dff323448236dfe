// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Engine } from '../../lib/engine.ts'
import { ConflictError, InvalidOptionError, LayerError, NotFoundError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { makeTar } from '../helpers/make-tar.ts'
import { first, openEngine, tempDir } from './image-fixtures.ts'

const kUser = fileURLToPath(import.meta.url.replace(/manage\.test\.(js|ts)$/, 'use-process.$1'))

/** Makes small images: a different file, and a date by their number. */
async function makeImages(t: TestContext, count: number): Promise<{ engine: Engine; images: Image[]; dir: string }> {
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const images: Image[] = []
  for (let number = 0; number < count; number++) {
    const path = join(dir, `${number}.tar`)
    await writeFile(path, makeTar([{ name: 'file', body: `content ${number}\n`.repeat(100) }]))
    const created = new Date(Date.UTC(2026, 0, 1 + number))
    const config = { Labels: { number: String(number) } }
    images.push(await Image.import(path, { engine, created, config, reference: `app:${number}` }))
  }
  return { engine, images, dir }
}

test('lists the newest first, and filters', async (t) => {
  const { engine, images } = await makeImages(t, 4)
  const list = async (filters: object) =>
    (await Image.list({ engine, filters })).map((image) => image.config.Labels?.number)
  assert.deepEqual(await list({}), ['3', '2', '1', '0'])
  assert.deepEqual(await list({ before: 'app:2' }), ['1', '0'])
  assert.deepEqual(await list({ since: images[2]?.id ?? '' }), ['3'])
  assert.deepEqual(await list({ reference: 'app:[12]' }), ['2', '1'])
  assert.deepEqual(await list({ label: 'number=3' }), ['3'])
  assert.deepEqual(await list({ until: '2026-01-02T12:00:00Z' }), ['1', '0'])
  await images[0]?.untag('app:0')
  assert.deepEqual(await list({ dangling: true }), ['0'])
  await assert.rejects(list({ before: 'nothing' }), NotFoundError)
  await assert.rejects(list({ refrence: 'x' }), InvalidOptionError)
})

test('prunes images without name, then all that no container uses', async (t) => {
  const { engine, images } = await makeImages(t, 4)
  await images[0]?.untag('app:0')
  const stop = images[3]?.use()
  const before = await engine.diskUsage()
  assert.equal(before.images.count, 4)
  assert.equal(before.images.inUse, 1)
  assert.equal(before.blobs.count, 12)
  assert.equal(before.layers.bytes, 4 * 1000)
  const pruned = await Image.prune({ engine })
  assert.deepEqual(
    pruned.removed.map(({ id }) => id),
    [images[0]?.id],
  )
  const after = await engine.diskUsage()
  assert.equal(before.blobs.bytes + before.layers.bytes - after.blobs.bytes - after.layers.bytes, pruned.reclaimedBytes)
  const old = await Image.prune({ engine, dangling: false, until: '2026-01-02T12:00:00Z', filters: { notLabel: 'x' } })
  assert.deepEqual(
    old.removed.map(({ tags }) => tags),
    [['docker.io/library/app:1']],
  )
  const rest = await Image.prune({ engine, dangling: false })
  assert.deepEqual(
    rest.removed.map(({ id }) => id),
    [images[2]?.id],
  )
  stop?.()
  assert.equal((await engine.diskUsage()).images.reclaimableBytes > 0, true)
  await Image.prune({ engine, dangling: false })
  assert.equal((await engine.diskUsage()).totalBytes, 0)
  assert.deepEqual((await engine.verify()).faults, [])
  await assert.rejects(Image.prune({ engine, filters: { before: 'x' } as object }), InvalidOptionError)
})

test('an engine prunes interrupted downloads after a week', async (t) => {
  const { engine } = await makeImages(t, 0)
  const dir = join(engine.root, 'partial')
  await mkdir(dir, { mode: 0o700 })
  const [old, young] = [join(dir, `sha256-${'a'.repeat(64)}`), join(dir, `sha256-${'b'.repeat(64)}`)]
  for (const path of [old, young]) await writeFile(path, 'x'.repeat(5000))
  const week = Date.now() / 1000 - 8 * 24 * 3600
  await utimes(old, week, week)
  assert.equal((await engine.diskUsage()).partialDownloads.count, 2)
  assert.deepEqual(await engine.prune(), { images: [], reclaimedBytes: 5000 })
  assert.deepEqual(await readdir(dir), [`sha256-${'b'.repeat(64)}`])
  assert.deepEqual((await engine.verify()).faults, [])
})

test('removes by name as docker rmi does', async (t) => {
  const { engine, images } = await makeImages(t, 2)
  const [image, other] = [first(images), images[1] as Image]
  await image.tag('app:again')
  await image.tag('elsewhere/app:1')
  assert.deepEqual(await Image.remove('app:0', { engine }), { untagged: ['docker.io/library/app:0'], deleted: false })
  await assert.rejects(Image.remove(image.id, { engine }), (error) => {
    return error instanceof ConflictError && /several repositories/.test(error.message)
  })
  assert.equal((await Image.remove(image.id.slice(7, 20), { engine, force: true })).untagged.length, 2)
  await assert.rejects(Image.get(image.id, { engine }), NotFoundError)
  const stop = other.use()
  await assert.rejects(Image.remove('app:1', { engine }), ConflictError)
  await assert.rejects(other.remove(), ConflictError)
  stop()
  assert.deepEqual(await Image.remove(`app@${other.digest}`, { engine }), {
    untagged: ['docker.io/library/app:1'],
    deleted: true,
  })
  await assert.rejects(Image.remove('app:1', { engine }), NotFoundError)
  assert.deepEqual((await engine.verify()).faults, [])
})

test('an image that a container of another process uses is not removed, and its user is named', async (t) => {
  const { engine, images } = await makeImages(t, 1)
  const child = spawn(execPath, [kUser, engine.root, 'app:0'], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  await assert.rejects(Image.remove('app:0', { engine }), (error) => {
    return error instanceof ConflictError && error.message.includes(`process ${child.pid}`)
  })
  assert.deepEqual((await Image.prune({ engine, dangling: false })).removed, [])
  child.kill('SIGKILL')
  await once(child, 'exit')
  await mkdir(join(engine.root, 'containers/c1'))
  const state = { status: 'exited', name: 'db', content: [images[0]?.digest] }
  await writeFile(join(engine.root, 'containers/c1/state.json'), JSON.stringify(state))
  await assert.rejects(first(images).remove(), (error) => {
    return error instanceof ConflictError && /container db/.test(error.message)
  })
  await rm(join(engine.root, 'containers/c1'), { recursive: true })
  assert.deepEqual((await Image.remove('app:0', { engine })).deleted, true)
  await engine.store.repair()
  assert.deepEqual((await engine.verify()).faults, [])
})

test('the verifier finds each kind of damage', async (t) => {
  const { engine, images, dir } = await makeImages(t, 2)
  assert.deepEqual((await engine.verify()).faults, [])
  const [image, other] = [first(images), images[1] as Image]
  const layer = engine.store.blobs.path(first(image.layers).digest)
  const files = engine.store.layout.layer(first(other.layers).diffId)
  await truncate(layer, 100)
  await truncate(layer, 2048)
  await writeFile(join(files, 'info.json'), '{}')
  await chmod(join(engine.root, 'layers'), 0o755)
  const strays = [
    'oci/blobs/sha256/stray',
    `oci/blobs/sha256/${'c'.repeat(64)}`,
    `layers/${'d'.repeat(64)}`,
    'tmp/x.y',
    'locks/odd',
    'odd',
  ]
  for (const name of strays) await writeFile(join(engine.root, name), 'x')
  await rm(join(engine.root, 'oci/oci-layout'))
  await mkdir(join(engine.root, `sessions/${'0'.repeat(16)}`))
  const { faults } = await engine.verify()
  const paths = faults.map(({ path }) => path)
  for (const name of [...strays, 'layers', 'oci/oci-layout', `sessions/${'0'.repeat(16)}`]) {
    assert.ok(paths.includes(name), `${name} is not among ${paths.join(' ')}`)
  }
  const reasonOf = (path: string): string =>
    faults.find((fault) => join(engine.root, fault.path) === path)?.reason ?? ''
  assert.match(reasonOf(layer), /bytes, not|digest/)
  assert.match(reasonOf(join(files, 'info.json')), /says/)
  await rm(engine.store.blobs.path(other.digest as never))
  await writeFile(join(engine.root, 'oci/index.json'), '{"schemaVersion":')
  assert.ok(
    (await engine.verify({ content: false })).faults.some(
      ({ path, reason }) => path === 'oci/index.json' && /cannot be read/.test(reason),
    ),
  )
  await rm(dir, { recursive: true, force: true })
})

test('errors name what the caller gave', async (t) => {
  const { engine, dir } = await makeImages(t, 0)
  const path = join(dir, 'text')
  await writeFile(path, 'this is no tar file, but it is longer than nothing\n'.repeat(100))
  await assert.rejects(Image.import(path, { engine }), (error) => error instanceof LayerError && error.layer === path)
  await assert.rejects(Image.import(path, { engine, config: { Cmd: 'x' } as object }), {
    message: `Invalid option 'config.Cmd': expected an array of strings, received "x".`,
  })
  await assert.rejects(Image.import(path, { engine, config: { Env: [1] } as object }), {
    message: `Invalid option 'config.Env.0': expected a string, received 1.`,
  })
})
