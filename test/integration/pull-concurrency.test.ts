// SPDX-License-Identifier: MIT
// Many pulls of one image at once: each blob is downloaded once, and who gives up does not stop the others.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import { type FaultyProxy, startFaultyProxy } from '../helpers/faulty-proxy.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { runOk } from '../helpers/run-child.ts'
import { openEngine } from './image-fixtures.ts'
import {
  assertSound,
  contentOf,
  makeLargeImage,
  needsRegistry,
  rawManifest,
  seedRegistry,
  skopeoPush,
} from './pull-fixtures.ts'

checkLeftovers()

const kLayers = [3_000_000, 2_000_000, 1_000_000, 500_000]
const kProcess = fileURLToPath(new URL('./pull-process.js', import.meta.url))

interface Setting {
  dir: string
  proxy: FaultyProxy
  reference: string
  /** Digests of the layers. */
  layers: string[]
}

async function prepare(t: import('node:test').TestContext): Promise<Setting> {
  const seeded = await seedRegistry(t)
  await skopeoPush(`oci:${await makeLargeImage(seeded.dir, kLayers)}`, `${seeded.host}/large:1`)
  const proxy = await startFaultyProxy(t, seeded.host)
  const { manifest } = await rawManifest(`${seeded.host}/large:1`)
  const layers = manifest.layers.map((layer) => layer.digest)
  return { dir: seeded.dir, proxy, reference: `${proxy.host}/large:1`, layers }
}

/** How often each layer was asked for. */
function downloads({ proxy, layers }: Setting): number[] {
  return layers.map(
    (digest) => proxy.requests.filter(({ method, path }) => method === 'GET' && path.endsWith(digest)).length,
  )
}

test('ten pulls at once in one process download each blob once', async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const engine = await openEngine(t, join(setting.dir, 'root'))
  const pulls = Array.from({ length: 10 }, () => Image.pull(setting.reference, { engine }))
  const images = await Promise.all(pulls)
  assert.equal(new Set(images.map((image) => image.digest)).size, 1)
  assert.deepEqual(
    downloads(setting),
    setting.layers.map(() => 1),
  )
  await assertSound(engine)
})

test('three processes and two engines of this one, on one store, download each blob once', async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const root = join(setting.dir, 'root')
  const engine = await openEngine(t, root)
  await using second = await Engine.open({ root })
  const children = [1, 2, 3].map((times) => runOk(process.execPath, [kProcess, root, setting.reference, String(times)]))
  const [mine, seconds, ...theirs] = await Promise.all([
    Image.pull(setting.reference, { engine }),
    Image.pull(setting.reference, { engine: second }),
    ...children,
  ])
  assert.equal(seconds.digest, mine.digest)
  for (const output of theirs) assert.equal(output, `ready\n${mine.digest}\n`)
  assert.deepEqual(
    downloads(setting),
    setting.layers.map(() => 1),
  )
  await assertSound(engine)
})

test('who gives up leaves the others alone; the last one stops the download', async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const engine = await openEngine(t, join(setting.dir, 'root'))
  const drip = { fault: { kind: 'drip', chunkBytes: 100_000, everyMs: 20 }, path: /blobs/, times: 100 } as const
  setting.proxy.inject(drip)
  const [early, late] = [new AbortController(), new AbortController()]
  const reason = new Error('enough')
  let seen = 0
  const onProgress = ({ phase, bytes }: { phase: string; bytes: number }): void => {
    if (phase === 'downloading' && bytes > 0) seen++
    if (seen === 3) early.abort(reason)
  }
  const first = Image.pull(setting.reference, { engine, signal: early.signal, onProgress })
  const second = Image.pull(setting.reference, { engine, signal: late.signal })
  await assert.rejects(first, (error) => error === reason)
  assert.ok((await second).digest !== undefined)
  assert.deepEqual(
    downloads(setting),
    setting.layers.map(() => 1),
  )
  await assertSound(engine)
})

test('an abort leaves what was downloaded, and the next pull asks for the rest only', async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const engine = await openEngine(t, join(setting.dir, 'root'))
  // The first layers come whole, the large one slowly.
  const [, large = ''] = setting.layers
  setting.proxy.inject({ fault: { kind: 'drip', chunkBytes: 100_000, everyMs: 50 }, path: new RegExp(large), times: 1 })
  const stopping = new AbortController()
  const done = new Set<string>()
  const reached = { bytes: 0 }
  const pull = Image.pull(setting.reference, {
    engine,
    signal: stopping.signal,
    onProgress: ({ phase, digest, bytes, layer }) => {
      if (phase === 'done' && layer !== undefined) done.add(String(digest))
      if (digest === large) reached.bytes = bytes
      if (done.size === setting.layers.length - 1 && reached.bytes > 500_000) stopping.abort()
    },
  })
  await assert.rejects(pull, (error) => error === stopping.signal.reason)
  assert.deepEqual(await contentOf(engine), [], 'nothing of the image is in the store')
  const names = setting.layers.map((digest) => digest.replace(':', '-'))
  await assertSound(
    engine,
    names.map((name, position) => (position === 1 ? name : `${name}.whole`)),
  )
  setting.proxy.reset()
  await Image.pull(setting.reference, { engine })
  const asked = setting.proxy.requests.filter((request) =>
    setting.layers.some((digest) => request.path.endsWith(digest)),
  )
  assert.equal(asked.length, 1)
  const [, from = ''] = /^bytes=(\d+)-$/.exec(String(asked[0]?.headers.range)) ?? []
  assert.ok(Number(from) >= 500_000, `resumed at ${from}`)
  await assertSound(engine)
})

test('a callback that throws ends its own pull only; a closed engine ends all', async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const root = join(setting.dir, 'root')
  const engine = await Engine.open({ root })
  const fault = new Error('in the callback')
  const onProgress = ({ phase }: { phase: string }): void => {
    if (phase === 'downloading') throw fault
  }
  const first = Image.pull(setting.reference, { engine, onProgress })
  const second = Image.pull(setting.reference, { engine })
  await assert.rejects(first, (error) => error === fault)
  await second
  await (await Image.get(setting.reference, { engine })).remove()
  await engine.store.idle()
  setting.proxy.inject({ fault: { kind: 'stall', afterBytes: 1000 }, path: /blobs/, times: 100 })
  const third = Image.pull(setting.reference, { engine })
  const closed = assert.rejects(third, { code: 'ERR_ENGINE_CLOSED' })
  await engine.close()
  await closed
})
