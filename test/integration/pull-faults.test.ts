// SPDX-License-Identifier: MIT
// Registries and networks that misbehave: a pull ends well after all, or with the right error and an unchanged store.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { RegistryClient } from '../../lib/distribution/registry-client.ts'
import { Engine } from '../../lib/engine.ts'
import { IntegrityError, LayerError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { digestOf } from '../../lib/oci/digest.ts'
import { kMediaType } from '../../lib/oci/image-config.ts'
import type { FaultRule } from '../helpers/faulty-proxy.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { listen } from '../helpers/listen.ts'
import { lastingFaults } from './lasting-faults.ts'
import { assertSound, contentOf, needsRegistry, rawManifest, type SeededLarge, seedLarge } from './pull-fixtures.ts'

checkLeftovers()

/** So long a healthy registry is never silent, on a busy machine either. */
const kStallMs = 1_000

interface Setting extends SeededLarge {
  engine: Engine
}

async function prepare(t: TestContext): Promise<Setting> {
  const seeded = await seedLarge(t, [2_000_000])
  const registries = { [seeded.proxy.host]: { stallTimeoutMs: kStallMs, retries: 2 } }
  const engine = await Engine.open({ root: join(seeded.dir, 'root'), registries })
  t.after(() => engine.close())
  return { ...seeded, engine }
}

/** Removes the image again, with all that it brought. */
async function forget({ engine, reference }: Setting): Promise<void> {
  await (await Image.get(reference, { engine })).remove()
  await engine.store.idle()
  assert.deepEqual(await contentOf(engine), [])
}

test('what passes is waited for', async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const { proxy, engine, reference, large } = setting
  const blob = new RegExp(`blobs/${large}`)
  const anything = /\/v2\/./
  const faults: Record<string, FaultRule[]> = {
    'two cuts': [10, 900_000].map((afterBytes) => ({ path: blob, fault: { kind: 'cut', afterBytes } })),
    'a cut before the first byte': [{ path: blob, fault: { kind: 'cut', afterBytes: 0 } }],
    'an error of the server': [{ path: anything, fault: { kind: 'status', status: 500 } }],
    'errors of the server in the middle': [
      { path: blob, fault: { kind: 'cut', afterBytes: 300_000 } },
      { path: blob, fault: { kind: 'status', status: 503 } },
    ],
    'too many requests': [{ path: anything, fault: { kind: 'status', status: 429, headers: { 'retry-after': '1' } } }],
    'a slow connection': [{ path: blob, fault: { kind: 'drip', chunkBytes: 200_000, everyMs: 20 } }],
    'a connection that falls silent': [{ path: blob, fault: { kind: 'stall', afterBytes: 300_000 } }],
    'a manifest that falls silent': [{ path: /manifests/, fault: { kind: 'stall', afterBytes: -1 } }],
  }
  for (const [name, rules] of Object.entries(faults)) {
    proxy.reset()
    proxy.inject(...rules)
    const image = await Image.pull(reference, { engine }).catch((error: unknown) => {
      throw new Error(`${name}: ${error}`, { cause: error })
    })
    assert.equal(image.id, setting.manifest.config.digest, name)
    assert.deepEqual(proxy.unused(), [], `${name}: a fault that never struck`)
    await assertSound(engine)
    await forget(setting)
  }
})

test('what does not pass is told, and leaves nothing', async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const { proxy, engine, reference, manifest, large } = setting
  const imageBytes = manifest.layers.reduce((sum, { size }) => sum + size, 0)
  for (const [name, { path, fault, errorClass, message, maxBytes }] of Object.entries(
    lastingFaults(manifest, large, kStallMs),
  )) {
    await t.test(name, async () => {
      proxy.reset()
      proxy.inject({ path, fault, times: Number.POSITIVE_INFINITY })
      const begun = performance.now()
      await assert.rejects(Image.pull(reference, { engine }), (error) => {
        assert.ok(error instanceof errorClass, String(error))
        assert.match(error.message, message)
        return true
      })
      assert.ok(performance.now() - begun < 120_000)
      assert.deepEqual(proxy.unused(), [])
      const struck = proxy.requests.filter((request) => request.method === 'GET' && path.test(request.path))
      const sentBytes = struck.reduce((sum, request) => sum + request.sentBytes, 0)
      assert.ok(sentBytes <= maxBytes, `${sentBytes} bytes were read from the server`)
      const { partialDownloads } = await engine.diskUsage()
      assert.ok(partialDownloads.bytes <= imageBytes, `${partialDownloads.bytes} bytes on the disk`)
      assert.deepEqual(await contentOf(engine), [])
      assert.deepEqual((await engine.verify()).faults, [])
    })
  }
  // Of what was kept of all this, the next pull makes the image.
  proxy.reset()
  await Image.pull(reference, { engine })
  await assertSound(engine)
})

test('credentials stay with the registry when it sends the client elsewhere', async (t) => {
  if (!needsRegistry(t)) return
  const { proxy, engine, reference, host, large } = await prepare(t)
  const seen: (string | undefined)[] = []
  const elsewhere = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.writeHead(307, { location: `http://${host}${request.url}` }).end()
  })
  const target = await listen(t, elsewhere)
  const path = `/v2/large/blobs/${large}`
  proxy.inject({
    path: /\/v2\/$/,
    fault: { kind: 'status', status: 401, headers: { 'www-authenticate': 'Basic realm="test"' } },
    times: Number.POSITIVE_INFINITY,
  })
  proxy.inject({
    path: new RegExp(large),
    fault: { kind: 'redirect', to: `http://localhost:${target.split(':')[1]}${path}` },
  })
  await Image.pull(reference, { engine, auth: { username: 'ada', password: 'secret' } })
  assert.deepEqual(proxy.unused(), [])
  assert.ok(proxy.requests.some((request) => request.headers.authorization !== undefined))
  assert.deepEqual(seen, [undefined])
  await assertSound(engine)
})

test('what an interrupted download left may be damaged', async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const { engine, reference, large, manifest } = setting
  const { size } = manifest.layers.find((layer) => layer.digest === large)!
  const partial = join(engine.root, 'partial')
  await mkdir(partial, { mode: 0o700, recursive: true })
  const kinds: Record<string, Buffer> = {
    garbage: Buffer.alloc(100_000, 7),
    zeros: Buffer.alloc(size),
    'too long': Buffer.alloc(size + 1, 1),
    empty: Buffer.alloc(0),
    // A gzip header that is right, and then something else.
    'a good beginning': Buffer.concat([
      Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]),
      Buffer.alloc(size - 10, 3),
    ]),
  }
  for (const [name, bytes] of Object.entries(kinds)) {
    await writeFile(join(partial, large.replace(':', '-')), bytes, { mode: 0o600 })
    assert.equal((await Image.pull(reference, { engine })).id, manifest.config.digest, name)
    await assertSound(engine)
    await forget(setting)
  }
})

test('a mirror that sends something else is passed over', async (t) => {
  if (!needsRegistry(t)) return
  const { engine: other, proxy, host, manifest, large } = await prepare(t)
  const registries = { [host]: { mirrors: [proxy.host] } }
  await using engine = await Engine.open({ root: join(other.root, '../mirrored'), registries })
  proxy.inject({ path: new RegExp(`blobs/${large}`), fault: { kind: 'wrong-digest' }, times: Number.POSITIVE_INFINITY })
  proxy.inject({
    path: new RegExp(`blobs/${manifest.config.digest}`),
    fault: { kind: 'wrong-digest' },
    times: Number.POSITIVE_INFINITY,
  })
  const image = await Image.pull(`${host}/large:1`, { engine })
  assert.equal(image.id, manifest.config.digest)
  assert.deepEqual(proxy.unused(), [])
  assert.equal(proxy.requests.filter(({ method, path }) => method === 'GET' && path.includes(large)).length, 1)
  await assertSound(engine)
})

test('a manifest that lies about its layers', async (t) => {
  if (!needsRegistry(t)) return
  const { engine, host, manifest, reference } = await prepare(t)
  const client = new RegistryClient(host)
  t.after(() => client.close())
  const repository = client.repository('large')
  const put = (tag: string, document: object): Promise<string> =>
    repository.pushManifest(tag, Buffer.from(JSON.stringify(document)), kMediaType.manifest)
  const [first, second] = manifest.layers
  await put('swapped', { ...manifest, layers: [second, first] })
  await put('fewer', { ...manifest, layers: [first] })
  await put('longer', { ...manifest, layers: [first, { ...second, size: second!.size + 1 }] })
  await put('shorter', { ...manifest, layers: [first, { ...second, size: second!.size - 1 }] })
  const wrongSize = /[Ss]ize of blob sha256:\w+.* does not match: expected \d+.*, got /
  const cases = {
    swapped: [IntegrityError, /does not match: expected sha256:\w+, got sha256:/],
    fewer: [LayerError, /it has 1 layers, but its configuration names 2/],
    longer: [IntegrityError, wrongSize],
    shorter: [IntegrityError, wrongSize],
  } as const
  const check = async (before: readonly string[]): Promise<void> => {
    for (const [tag, [errorClass, message]] of Object.entries(cases)) {
      await assert.rejects(Image.pull(`${host}/large:${tag}`, { engine }), (error) => {
        assert.ok(error instanceof errorClass, `${tag}: ${error}`)
        assert.match(error.message, message, tag)
        return true
      })
      assert.deepEqual(await contentOf(engine), before, tag)
    }
  }
  await check([])
  await Image.pull(reference, { engine })
  // The same when the layers are there already.
  await check(await contentOf(engine))
  await assertSound(engine)
  assert.equal((await Image.get(reference, { engine })).digest, digestOf((await rawManifest(`${host}/large:1`)).text))
})
