// SPDX-License-Identifier: MIT
// Garbage is collected while clients push: what was pushed can be pulled afterwards.
import assert from 'node:assert/strict'
import { utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { seededRandom } from '../../bench/random.ts'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import { type Digest, digestHex, digestOf, parseDigest } from '../../lib/oci/digest.ts'
import type { RegistryServer } from '../../lib/registry-server/registry-server.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { makeTar } from '../helpers/make-tar.ts'
import { openEngine, tempDir } from './image-fixtures.ts'
import { makeManifest, pushBlob, pushManifest, send, startRegistry } from './registry-server-fixtures.ts'

checkLeftovers()

/**
 * Collects over and over until `work` has ended, with pauses of up to `pauseMs`, which become longer: on a slow machine too a push
 * fits between two collections at last. @returns how often, and how many blobs went.
 */
async function collectDuring(
  server: RegistryServer,
  { minAgeMs, pauseMs }: { minAgeMs: number; pauseMs: number },
  work: Promise<unknown>,
): Promise<{ times: number; blobs: number }> {
  const random = seededRandom(1)
  const counts = { times: 0, blobs: 0 }
  let ended = false
  const end = (): void => {
    ended = true
  }
  work.then(end, end)
  while (!ended) {
    counts.blobs += (await server.collectGarbage({ minAgeMs })).blobs
    counts.times++
    await delay(random() * pauseMs * (1 + counts.times / 50))
  }
  await work
  return counts
}

/** Pushes an image as clients do, and again what was collected before the manifest came. @returns how often it began again. */
async function pushUntilThere(server: RegistryServer, repository: string, tag: string, layers: string[]) {
  for (let tries = 0; tries < 200; tries++) {
    for (const bytes of [`config ${tag}`, ...layers]) {
      const there = await send(server, 'HEAD', `/v2/${repository}/blobs/${digestOf(bytes)}`)
      if (there.status !== 200) await pushBlob(server, repository, bytes)
    }
    const answer = await pushManifest(server, repository, tag, makeManifest(`config ${tag}`, layers))
    if (answer.status === 201) return tries
    assert.equal(answer.status, 404, answer.body.toString())
    assert.match(answer.body.toString(), /MANIFEST_BLOB_UNKNOWN/)
  }
  return assert.fail(`${tag} was never taken`)
}

async function assertPullable(server: RegistryServer, repository: string, tag: string): Promise<void> {
  const answer = await send(server, 'GET', `/v2/${repository}/manifests/${tag}`)
  assert.equal(answer.status, 200, tag)
  const { config, layers } = JSON.parse(answer.body.toString()) as Record<'config', { digest: Digest }> & {
    layers: { digest: Digest }[]
  }
  for (const { digest } of [config, ...layers]) {
    const blob = await send(server, 'GET', `/v2/${repository}/blobs/${digest}`)
    assert.equal(digestOf(blob.body), digest, `${repository}:${tag}`)
  }
}

test('a manifest is taken only while all of its blobs stay, even where nothing is spared', async (t) => {
  const server = await startRegistry(t)
  const images = Array.from({ length: 24 }, (_, index) => ({
    repository: `app${index % 4}`,
    tag: `v${index}`,
    layers: ['base', `shared ${index % 5}`, `own ${index}`],
  }))
  let again = 0
  const pushing = Promise.all(
    [0, 1, 2, 3].map(async (worker) => {
      for (const { repository, tag, layers } of images.filter((_, index) => index % 4 === worker)) {
        again += await pushUntilThere(server, repository, tag, layers)
        // Garbage for the others: an image that goes again.
        await pushUntilThere(server, `gone${worker}`, 'x', layers)
        const digest = digestOf(makeManifest('config x', layers))
        assert.equal((await send(server, 'DELETE', `/v2/gone${worker}/manifests/${digest}`)).status, 202)
      }
    }),
  )
  const collected = await collectDuring(server, { minAgeMs: 0, pauseMs: 60 }, pushing)
  t.diagnostic(`${collected.times} collections took ${collected.blobs} blobs; ${again} pushes began again`)
  assert.ok(collected.times > 1 && collected.blobs > 0)
  for (const { repository, tag } of images) await assertPullable(server, repository, tag)
  await server.collectGarbage({ minAgeMs: 0 })
  for (const { repository, tag } of images) await assertPullable(server, repository, tag)
})

/** Makes a repository's blob look as if nobody had wanted it for so long. */
async function age(server: RegistryServer, repository: string, digest: string, ageMs: number): Promise<void> {
  const path = join(server.root, 'repositories', repository, '_blobs/sha256', digestHex(parseDigest(digest)))
  const then = new Date(Date.now() - ageMs)
  await utimes(path, then, then)
}

test('a blob that a client was told of is spared as long as was asked for', async (t) => {
  const server = await startRegistry(t)
  for (const [asking, method] of [
    ['head', 'HEAD'],
    ['mount', 'POST'],
  ] as const) {
    for (const bytes of ['config', 'layer']) {
      const digest = await pushBlob(server, asking, bytes)
      await age(server, asking, digest, 40_000)
      const target = method === 'HEAD' ? digest : `uploads/?mount=${digest}&from=${asking}`
      assert.ok((await send(server, method, `/v2/${asking}/blobs/${target}`)).status < 202)
    }
    await server.collectGarbage({ minAgeMs: 30_000 })
    const answer = await pushManifest(server, asking, 'v1', makeManifest('config', ['layer']))
    assert.equal(answer.status, 201, answer.body.toString())
  }
})

async function importImages(t: TestContext, dir: string, count: number): Promise<Image[]> {
  const engine = await openEngine(t, join(dir, 'root'))
  const images: Image[] = []
  for (let number = 0; number < count; number++) {
    const tar = join(dir, `${number}.tar`)
    await writeFile(tar, makeTar([{ name: 'file', body: `${number % 4}`.repeat(20_000) }]))
    images.push(await Image.import(tar, { engine, config: { Labels: { number: String(number) } } }))
  }
  return images
}

test('no push fails for a collection that spares what is younger than the push', async (t) => {
  const dir = await tempDir(t)
  const server = await startRegistry(t)
  const images = await importImages(t, dir, 12)
  // What these pushes will find there is garbage of a kind that the collection is about to take.
  for (const image of images) {
    const { digest, blobs } = await image.push(`${server.address}/app:old`)
    assert.equal((await send(server, 'DELETE', `/v2/app/manifests/${digest}`)).status, 202)
    for (const blob of blobs) await age(server, 'app', blob.digest, 50_000)
  }
  const pushing = Promise.all(images.map((image, number) => image.push(`${server.address}/app:v${number}`)))
  const { times } = await collectDuring(server, { minAgeMs: 45_000, pauseMs: 0 }, pushing)
  assert.ok(times > 1)
  await server.collectGarbage({ minAgeMs: 0 })
  await using other = await Engine.open({ root: join(dir, 'other') })
  for (const [number, image] of images.entries()) {
    assert.equal((await Image.pull(`${server.address}/app:v${number}`, { engine: other })).id, image.id)
  }
})
