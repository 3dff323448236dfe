// SPDX-License-Identifier: MIT
// Registries and networks that misbehave: a pull ends well after all, or with the right error and an unchanged store.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { RegistryClient } from '../../lib/distribution/registry-client.ts'
import { Engine } from '../../lib/engine.ts'
import { IntegrityError, LayerError, NotFoundError, RegistryError, WherryError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { digestOf } from '../../lib/oci/digest.ts'
import { type Fault, type FaultRule, type FaultyProxy, startFaultyProxy } from '../helpers/faulty-proxy.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { listen } from '../helpers/listen.ts'
import {
  assertSound,
  contentOf,
  makeLargeImage,
  needsRegistry,
  type RawManifest,
  rawManifest,
  seedRegistry,
  skopeoPush,
} from './pull-fixtures.ts'

checkLeftovers()

const kStallMs = 250

interface Setting {
  engine: Engine
  proxy: FaultyProxy
  /** Of the registry itself. */
  host: string
  reference: string
  manifest: RawManifest
  /** The largest layer's digest. */
  large: string
}

async function prepare(t: TestContext): Promise<Setting> {
  const seeded = await seedRegistry(t)
  await skopeoPush(`oci:${await makeLargeImage(seeded.dir, [2_000_000])}`, `${seeded.host}/large:1`)
  const proxy = await startFaultyProxy(t, seeded.host)
  const { manifest } = await rawManifest(`${seeded.host}/large:1`)
  const large = [...manifest.layers].sort((a, b) => b.size - a.size)[0]!.digest
  const registries = { [proxy.host]: { stallTimeoutMs: kStallMs, retries: 2 } }
  const engine = await Engine.open({ root: join(seeded.dir, 'root'), registries })
  t.after(() => engine.close())
  return { engine, proxy, host: seeded.host, reference: `${proxy.host}/large:1`, manifest, large }
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
    await assertSound(engine)
    await forget(setting)
  }
})

test('what does not pass is told, and leaves nothing', async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const { proxy, engine, reference, large, manifest } = setting
  const blob = new RegExp(`blobs/${large}`)
  const config = new RegExp(`blobs/${manifest.config.digest}`)
  const huge = 10 * 1024 ** 3
  const json = 'application/vnd.oci.image.manifest.v1+json'
  const cases: [string, RegExp, Fault, new (...args: never[]) => WherryError][] = [
    ['another layer', blob, { kind: 'wrong-digest' }, IntegrityError],
    ['another configuration', config, { kind: 'wrong-digest' }, IntegrityError],
    ['another manifest', /manifests/, { kind: 'wrong-digest' }, WherryError],
    ['a layer that is too short', blob, { kind: 'short-body', bytes: 1000 }, IntegrityError],
    ['a layer that is too long', blob, { kind: 'endless', bytes: huge }, IntegrityError],
    ['a manifest of 10 GB', /manifests/, { kind: 'endless', bytes: huge, contentType: json }, WherryError],
    [
      'a manifest that inflates',
      /manifests/,
      { kind: 'gzip-bomb', inflatedBytes: 2 ** 28, contentType: json },
      WherryError,
    ],
    ['redirects for ever', blob, { kind: 'redirect', to: 'loop' }, RegistryError],
    [
      'a redirect to the metadata service',
      blob,
      { kind: 'redirect', to: 'http://169.254.169.254/latest' },
      RegistryError,
    ],
    ['a redirect to a file', blob, { kind: 'redirect', to: 'file:///etc/passwd' }, RegistryError],
    ['errors of the server for ever', blob, { kind: 'status', status: 502 }, RegistryError],
    ['a refusal', blob, { kind: 'status', status: 403 }, RegistryError],
    ['a layer that is not there', blob, { kind: 'status', status: 404 }, NotFoundError],
    ['silence for ever', blob, { kind: 'stall', afterBytes: 0 }, WherryError],
  ]
  for (const [name, path, fault, errorClass] of cases) {
    proxy.reset()
    proxy.inject({ path, fault, times: 100 })
    const begun = performance.now()
    await assert.rejects(Image.pull(reference, { engine }), (error) => {
      assert.ok(error instanceof errorClass, `${name}: ${error}`)
      return true
    })
    assert.ok(performance.now() - begun < 20_000, name)
    // A body that is packed stays so: what it would inflate to never comes about.
    const bytes = fault.kind === 'endless' ? proxy.counters.inventedBytes : 0
    assert.ok(bytes < 64 * 1024 * 1024, `${name}: ${bytes} bytes`)
    assert.deepEqual(await contentOf(engine), [], name)
    assert.deepEqual((await engine.verify()).faults, [], name)
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
    times: 100,
  })
  proxy.inject({
    path: new RegExp(large),
    fault: { kind: 'redirect', to: `http://localhost:${target.split(':')[1]}${path}` },
  })
  await Image.pull(reference, { engine, auth: { username: 'ada', password: 'secret' } })
  assert.ok(proxy.requests.some((request) => request.headers.authorization !== undefined))
  assert.deepEqual(seen, [undefined])
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
  proxy.inject({ path: new RegExp(`blobs/${large}`), fault: { kind: 'wrong-digest' }, times: 100 })
  proxy.inject({ path: new RegExp(`blobs/${manifest.config.digest}`), fault: { kind: 'wrong-digest' }, times: 100 })
  const image = await Image.pull(`${host}/large:1`, { engine })
  assert.equal(image.id, manifest.config.digest)
  assert.equal(proxy.requests.filter(({ method, path }) => method === 'GET' && path.includes(large)).length, 1)
  await assertSound(engine)
})

test('a manifest that lies about its layers', async (t) => {
  if (!needsRegistry(t)) return
  const { engine, host, manifest, reference } = await prepare(t)
  const client = new RegistryClient(host)
  t.after(() => client.close())
  const repository = client.repository('large')
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const put = (tag: string, document: object): Promise<string> =>
    repository.pushManifest(tag, Buffer.from(JSON.stringify(document)), mediaType)
  const [first, second] = manifest.layers
  await put('swapped', { ...manifest, layers: [second, first] })
  await put('fewer', { ...manifest, layers: [first] })
  await put('longer', { ...manifest, layers: [first, { ...second, size: second!.size + 1 }] })
  await put('shorter', { ...manifest, layers: [first, { ...second, size: second!.size - 1 }] })
  const cases = { swapped: IntegrityError, fewer: LayerError, longer: IntegrityError, shorter: IntegrityError }
  const check = async (before: readonly string[]): Promise<void> => {
    for (const [tag, errorClass] of Object.entries(cases)) {
      await assert.rejects(Image.pull(`${host}/large:${tag}`, { engine }), (error) => {
        assert.ok(error instanceof errorClass, `${tag}: ${error}`)
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
