// SPDX-License-Identifier: MIT
// Many pulls of one image at once: each blob is downloaded once, and who gives up does not stop the others.
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import type { PullProgress } from '../../lib/transfer/pull.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { runOk } from '../helpers/run-child.ts'
import { until } from '../helpers/until.ts'
import { openEngine } from './image-fixtures.ts'
import { assertSound, contentOf, needsRegistry, type SeededLarge, seedLarge } from './pull-fixtures.ts'

checkLeftovers()

const kLayers = [3_000_000, 2_000_000, 1_000_000, 500_000]
const kProcess = fileURLToPath(new URL('./pull-process.js', import.meta.url))

interface Setting extends SeededLarge {
  /** Digests of the layers. */
  layers: string[]
}

async function prepare(t: TestContext): Promise<Setting> {
  const seeded = await seedLarge(t, kLayers)
  return { ...seeded, layers: seeded.manifest.layers.map((layer) => layer.digest) }
}

/** How often each layer was asked for. */
function downloads({ proxy, layers }: Setting): number[] {
  return layers.map(
    (digest) => proxy.requests.filter(({ method, path }) => method === 'GET' && path.endsWith(digest)).length,
  )
}

/** Each pull has asked for the manifest itself: none of them found the image in the store. */
function manifestRequests({ proxy }: Setting): number {
  return proxy.requests.filter(({ method, path }) => method === 'GET' && path.includes('/manifests/')).length
}

type ProgressListener = (progress: PullProgress) => void

/** Keeps the download of the large layer unfinished. @returns the function that lets it go on. */
function holdLargeLayer(setting: Setting, afterBytes = 500_000): () => void {
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  const fault = { kind: 'hold', afterBytes, until: gate } as const
  setting.proxy.inject({ fault, path: new RegExp(setting.large) })
  return release
}

/** Calls back once, when a pull has seen some bytes of the large layer. */
function whenMidway(setting: Setting, callback: () => void): ProgressListener {
  let seen = false
  return ({ phase, digest, bytes }) => {
    if (seen || phase !== 'downloading' || digest !== setting.large || bytes === 0) return
    seen = true
    callback()
  }
}

/** Calls `callback` with the last of `count` calls. */
function countDown(count: number, callback: () => void): () => void {
  let left = count
  return () => {
    left--
    if (left === 0) callback()
  }
}

test('ten pulls at once in one process download each blob once', async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const engine = await openEngine(t, join(setting.dir, 'root'))
  // Goes on when all ten are in the middle of it.
  const arrive = countDown(10, holdLargeLayer(setting))
  const pulls = Array.from({ length: 10 }, () =>
    Image.pull(setting.reference, { engine, onProgress: whenMidway(setting, arrive) }),
  )
  const images = await Promise.all(pulls)
  assert.equal(new Set(images.map((image) => image.digest)).size, 1)
  assert.equal(manifestRequests(setting), 10)
  assert.deepEqual(setting.proxy.unused(), [])
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
  const arrive = countDown(8, holdLargeLayer(setting))
  const pullElsewhere = (times: number): Promise<string> => {
    const onSpawn = (child: ChildProcess): void => {
      const lines = createInterface({ input: child.stdout as Readable })
      lines.on('line', (line) => {
        if (line === 'downloading') arrive()
      })
    }
    const args = [kProcess, root, setting.reference, String(times), setting.large]
    return runOk(process.execPath, args, { onSpawn })
  }
  const [mine, seconds, ...theirs] = await Promise.all([
    Image.pull(setting.reference, { engine, onProgress: whenMidway(setting, arrive) }),
    Image.pull(setting.reference, { engine: second, onProgress: whenMidway(setting, arrive) }),
    ...[1, 2, 3].map(pullElsewhere),
  ])
  assert.equal(seconds.digest, mine.digest)
  for (const [position, output] of theirs.entries()) {
    assert.equal(output, `ready\n${'downloading\n'.repeat(position + 1)}${mine.digest}\n`)
  }
  assert.equal(manifestRequests(setting), 8)
  assert.deepEqual(setting.proxy.unused(), [])
  assert.deepEqual(
    downloads(setting),
    setting.layers.map(() => 1),
  )
  await assertSound(engine)
})

/** Two pulls that are both in the middle of the large layer, which goes on when `release` is called. */
async function startTwo(t: TestContext): Promise<{
  setting: Setting
  engine: Engine
  pulls: { stopping: AbortController; pull: Promise<Image> }[]
  release: () => void
}> {
  const setting = await prepare(t)
  const engine = await openEngine(t, join(setting.dir, 'root'))
  const release = holdLargeLayer(setting)
  const pulls: { stopping: AbortController; pull: Promise<Image> }[] = []
  await new Promise<void>((resolve) => {
    const arrive = countDown(2, resolve)
    for (const stopping of [new AbortController(), new AbortController()]) {
      const onProgress = whenMidway(setting, arrive)
      pulls.push({ stopping, pull: Image.pull(setting.reference, { engine, signal: stopping.signal, onProgress }) })
    }
  })
  return { setting, engine, pulls, release }
}

for (const [leaving, staying] of [
  [0, 1],
  [1, 0],
] as const) {
  test(`pull ${leaving + 1} of two gives up, and the other goes on with their download`, async (t) => {
    if (!needsRegistry(t)) return
    const { setting, engine, pulls, release } = await startTwo(t)
    const reason = new Error('enough')
    pulls[leaving]?.stopping.abort(reason)
    await assert.rejects(pulls[leaving]?.pull as Promise<Image>, (error) => error === reason)
    release()
    const image = await pulls[staying]?.pull
    assert.equal((await Image.get(setting.reference, { engine })).digest, image?.digest)
    assert.equal(manifestRequests(setting), 2)
    assert.deepEqual(
      downloads(setting),
      setting.layers.map(() => 1),
    )
    await assertSound(engine)
  })
}

test('when all give up, the download ends', async (t) => {
  if (!needsRegistry(t)) return
  const { setting, engine, pulls } = await startTwo(t)
  const request = setting.proxy.requests.find(({ path }) => path.endsWith(setting.large))
  const reason = new Error('enough')
  for (const { stopping, pull } of pulls) {
    assert.equal(request?.isGivenUp, false)
    stopping.abort(reason)
    await assert.rejects(pull, (error) => error === reason)
  }
  await until(() => request?.isGivenUp === true, 'the connection of the download is closed')
  assert.deepEqual(await contentOf(engine), [])
})

test('an abort leaves what was downloaded, and the next pull asks for the rest only', async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const engine = await openEngine(t, join(setting.dir, 'root'))
  // The other layers come whole, the large one does not.
  const { large } = setting
  t.after(holdLargeLayer(setting, 1_000_000))
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
    names.map((name) => (name === large.replace(':', '-') ? name : `${name}.whole`)),
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
  setting.proxy.inject({ fault: { kind: 'stall', afterBytes: 1000 }, path: /blobs/, times: Number.POSITIVE_INFINITY })
  const third = Image.pull(setting.reference, { engine })
  const closed = assert.rejects(third, { code: 'ERR_ENGINE_CLOSED' })
  await engine.close()
  await closed
})
