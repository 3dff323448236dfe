// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { type TestContext, test } from 'node:test'
import { RegistryClient, type RegistryClientOptions } from '../../lib/distribution/registry-client.ts'
import { IntegrityError, RegistryError, TimeoutError, UnsupportedImageError } from '../../lib/errors.ts'
import { digestOf } from '../../lib/oci/digest.ts'
import { kMediaType } from '../../lib/oci/image-config.ts'
import { Registry } from '../../lib/registry.ts'
import { startDockerRegistry } from '../helpers/docker-registry.ts'
import { type FaultyProxy, startFaultyProxy } from '../helpers/faulty-proxy.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { listen } from '../helpers/listen.ts'
import { needs } from '../helpers/needs.ts'
import { blobOf, collect, makeBlob, pushTestImage } from '../helpers/remote-image.ts'

checkLeftovers()

const user = { username: 'ada', password: 'secret' }

async function setUp(
  t: TestContext,
  options: RegistryClientOptions = {},
): Promise<{ proxy: FaultyProxy; client: RegistryClient }> {
  const registry = await startDockerRegistry(t)
  const proxy = await startFaultyProxy(t, registry.host)
  const client = new RegistryClient(proxy.host, { auth: 'anonymous', ...options })
  t.after(() => client.close())
  return { proxy, client }
}

test('a blob that is cut is continued by Range where it broke', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t)
  const repository = client.repository('cut/blob')
  const blob = makeBlob(3_000_000)
  await repository.pushBlob(blob.descriptor, blob.open)
  proxy.reset()
  proxy.inject({ method: 'GET', path: /blobs/, fault: { kind: 'cut', afterBytes: 1_000_000 } })
  assert.deepEqual(await collect(repository.blob(blob.descriptor)), blob.bytes)
  const ranges = proxy.requests.filter(({ path }) => path.includes('/blobs/')).map(({ headers }) => headers.range)
  assert.equal(ranges.length, 2)
  assert.match(ranges[1] ?? '', /^bytes=\d{5,}-$/)
  assert.deepEqual(await collect(repository.blob(blob.descriptor, { offset: 2_999_990 })), blob.bytes.subarray(-10))
})

test('a blob that has another size than announced is an IntegrityError, without another attempt', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t)
  const repository = client.repository('short/blob')
  const blob = makeBlob(100_000)
  await repository.pushBlob(blob.descriptor, blob.open)
  proxy.reset()
  proxy.inject({ method: 'GET', path: /blobs/, fault: { kind: 'short-body', bytes: 50_000 } })
  await assert.rejects(collect(repository.blob(blob.descriptor)), IntegrityError)
  const { digest, size } = blob.descriptor
  await assert.rejects(collect(repository.blob({ digest, size: size - 1 })), IntegrityError)
  await assert.rejects(collect(repository.blob({ digest, size: size + 1 })), IntegrityError)
  assert.equal(proxy.requests.filter(({ method }) => method === 'GET').length, 3)
  proxy.inject({ method: 'GET', path: /blobs/, fault: { kind: 'wrong-digest' } })
  await assert.rejects(repository.smallBlob(blob.descriptor, size), IntegrityError)
  await assert.rejects(repository.smallBlob(blob.descriptor, size - 1), /Size of Blob/)
})

test('429 with Retry-After and 500 pass after another attempt, and count as temporary when they do not', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t)
  const repository = client.repository('busy/image')
  const { digest } = await pushTestImage(repository, 'v1')
  const busy = { kind: 'status', status: 429, headers: { 'retry-after': '1' } } as const
  proxy.inject({ method: 'GET', path: /manifests/, fault: busy })
  proxy.inject({ method: 'GET', path: /manifests/, fault: { kind: 'status', status: 500 } })
  const start = performance.now()
  assert.equal((await repository.manifest('v1')).digest, digest)
  assert.ok(performance.now() - start >= 1000)
  const body = JSON.stringify({ errors: [{ code: 'TOOMANYREQUESTS', message: 'slow\u0007down' }] })
  const later = { kind: 'status', status: 429, headers: { 'retry-after': '3600' }, body } as const
  proxy.inject({ method: 'GET', path: /manifests/, fault: later })
  await assert.rejects(repository.manifest('v1'), (error) => {
    assert.ok(error instanceof RegistryError)
    assert.equal(error.status, 429)
    assert.equal(error.temporary, true)
    assert.equal(error.retryAfterMs, 3_600_000)
    assert.deepEqual(error.diagnostics, [{ code: 'TOOMANYREQUESTS', message: 'slow down' }])
    return true
  })
})

test('a registry that falls silent is a temporary RegistryError after the stall timeout', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t, { stallTimeoutMs: 1_500, retries: 0 })
  const repository = client.repository('still/image')
  const { layer } = await pushTestImage(repository, 'v1')
  for (const afterBytes of [-1, 0, 1000]) {
    proxy.inject({ method: 'GET', fault: { kind: 'stall', afterBytes } })
    await assert.rejects(collect(repository.blob(layer.descriptor)), (error) => {
      assert.ok(error instanceof RegistryError && error.temporary && error.cause instanceof TimeoutError)
      assert.match(error.message, /no byte came for 1500 ms/)
      return true
    })
  }
  proxy.inject({ method: 'GET', path: /blobs/, fault: { kind: 'drip', chunkBytes: 100_000, everyMs: 50 } })
  assert.deepEqual(await collect(repository.blob(layer.descriptor)), layer.bytes)
})

test('answers that are announced and never given (103) are given up', async (t) => {
  // Its clock starts anew with each of them, so that no timeout of undici's ends this.
  const server = createServer((_request, response) => {
    const announce = (): void => {
      if (!response.destroyed) response.writeEarlyHints({ link: '</x>; rel=preload' }, () => setImmediate(announce))
    }
    announce()
  })
  const host = await listen(t, server)
  await using client = new RegistryClient(`http://${host}`, { auth: 'anonymous', retries: 0 })
  await assert.rejects(client.ping(), (error) => {
    assert.ok(error instanceof RegistryError)
    assert.match(error.message, /more than 20 interim answers/)
    return true
  })
})

test('a manifest, a list and a token that are cut in their middle are asked for again', async (t) => {
  let cuts = 0
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://registry')
    const isToken = pathname === '/token'
    if (!isToken && request.headers.authorization === undefined) {
      response.setHeader('www-authenticate', `Bearer realm="http://${request.headers.host}/token",service="x"`)
      response.writeHead(401).end()
      return
    }
    const document = isToken
      ? { token: 'abc' }
      : pathname.endsWith('/list')
        ? { tags: ['v1'] }
        : { schemaVersion: 2, mediaType: kMediaType.manifest, layers: [] }
    const body = JSON.stringify(document)
    if (pathname === '/v2/') return void response.end('{}')
    // Each is cut once, those of a known length and those in chunks.
    if (isFirst(pathname)) {
      cuts++
      if (isToken) response.setHeader('content-length', body.length)
      response.write(body.slice(0, 5), () => response.destroy())
      return
    }
    response.end(body)
  })
  const seen = new Set<string>()
  const isFirst = (path: string): boolean => !seen.has(path) && seen.add(path) !== undefined
  const client = new RegistryClient(await listen(t, server), { auth: 'anonymous' })
  t.after(() => client.close())
  const repository = client.repository('cut/small')
  assert.equal((await repository.manifest('v1')).mediaType, kMediaType.manifest)
  const tags: string[] = []
  for await (const tag of repository.tags()) tags.push(tag)
  assert.deepEqual([tags, cuts], [['v1'], 3])
  seen.clear()
  const hasty = new RegistryClient(client.name, { auth: 'anonymous', retries: 0 })
  t.after(() => hasty.close())
  await assert.rejects(hasty.repository('cut/small').manifest('v1'), (error) => {
    assert.ok(error instanceof RegistryError && error.temporary, String(error))
    return true
  })
})

test('manifests without end are given up: by their length, by their bytes, inflated', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t, { retries: 0 })
  const repository = client.repository('long/image')
  const bytes = 10 * 1024 ** 3
  proxy.inject({ path: /manifests/, fault: { kind: 'endless', bytes, contentType: kMediaType.manifest } })
  await assert.rejects(repository.manifest('v1'), /sent more than 4194304 bytes/)
  proxy.inject({
    path: /manifests/,
    fault: { kind: 'gzip-bomb', inflatedBytes: 200 * 1024 ** 2, contentType: kMediaType.manifest },
  })
  await assert.rejects(repository.manifest('v1'), (error) => {
    assert.ok(error instanceof RegistryError)
    assert.match(error.message, /gzip that is broken or longer than 4194304 bytes/)
    return true
  })
  proxy.inject({ path: /manifests/, fault: { kind: 'endless', bytes, contentType: kMediaType.manifest, silent: true } })
  await assert.rejects(repository.manifest('v1'), /sent more than 4194304 bytes/)
  // The limit, and what is on its way in the buffers of two sockets.
  const sent = proxy.requests.filter(({ method, path }) => method === 'GET' && /manifests/.test(path))
  assert.equal(sent.length, 3)
  for (const { sentBytes } of sent) assert.ok(sentBytes < 4_194_304 + 8 * 1024 ** 2, `${sentBytes} bytes`)
  assert.deepEqual(proxy.unused(), [])
})

test('a manifest with another digest than named or announced is an IntegrityError', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t)
  const repository = client.repository('wrong/image')
  const { digest } = await pushTestImage(repository, 'v1')
  for (const reference of ['v1', digest]) {
    proxy.inject({ method: 'GET', path: /manifests/, fault: { kind: 'wrong-digest' } })
    await assert.rejects(repository.manifest(reference), (error) => {
      assert.ok(error instanceof IntegrityError)
      assert.equal(error.expected, digest)
      return true
    })
  }
  assert.equal((await repository.manifest(digest)).digest, digest)
})

test('redirects: loops end, and credentials stay at home', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t, { auth: user })
  const repository = client.repository('redirect/image')
  const { layer } = await pushTestImage(repository, 'v1')
  proxy.inject({ path: /manifests/, times: Number.POSITIVE_INFINITY, fault: { kind: 'redirect', to: 'loop' } })
  await assert.rejects(repository.manifest('v1'), /redirects more than 10 times/)
  proxy.reset()
  const seen: (string | undefined)[] = []
  const store = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.end(layer.bytes)
  })
  const elsewhere = `http://${await listen(t, store)}/object?signature=secret`
  // The registry asks for a password, so that there is one to be lost.
  const challenge = { kind: 'status', status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } } as const
  proxy.inject({ path: /blobs/, fault: challenge }, { path: /blobs/, fault: { kind: 'redirect', to: elsewhere } })
  assert.deepEqual(await collect(repository.blob(layer.descriptor)), layer.bytes)
  assert.match(proxy.requests.at(-1)?.headers.authorization ?? '', /^Basic /)
  assert.deepEqual(seen, [undefined])
})

test('redirects to the metadata address, to other schemes and with users are refused unsent', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t)
  const repository = client.repository('redirect/image')
  const targets = [
    'http://169.254.169.254/latest',
    'http://[fe80::1]/',
    'http://[::ffff:169.254.169.254]/',
    'http://2852039166/',
  ]
  for (const to of targets) {
    proxy.inject({ fault: { kind: 'redirect', to } })
    await assert.rejects(repository.manifest('v1'), /may not direct requests to its link or a metadata service/)
    proxy.reset()
  }
  for (const to of ['file:///etc/passwd', `http://ada:pw@${proxy.host}/v2/`, 'http://[']) {
    proxy.inject({ fault: { kind: 'redirect', to } })
    await assert.rejects(repository.manifest('v1'), /a location that is no plain URL/)
    proxy.reset()
  }
})

test('an upload that is cut goes on where it broke, by PATCH, where the registry says how much it has', async (t) => {
  const registry = await Registry.serve()
  t.after(() => registry.close())
  const proxy = await startFaultyProxy(t, `127.0.0.1:${registry.port}`)
  const client = new RegistryClient(proxy.host, { auth: 'anonymous' })
  t.after(() => client.close())
  const repository = client.repository('cut/upload')
  const blob = makeBlob(8_000_000)
  const offsets: number[] = []
  const open = (offset: number): AsyncIterable<Uint8Array> => {
    offsets.push(offset)
    return blob.open(offset)
  }
  proxy.inject({ method: 'PUT', path: /uploads/, fault: { kind: 'cut-upload', afterBytes: 2_500_000 } })
  const seen: number[] = []
  assert.equal(await repository.pushBlob(blob.descriptor, open, { onBytes: (count) => seen.push(count) }), 'uploaded')
  assert.equal(seen.at(-1), blob.bytes.length)
  assert.deepEqual(await repository.smallBlob(blob.descriptor, blob.bytes.length), blob.bytes)
  assert.equal(offsets.length, 2)
  assert.ok(offsets[1]! > 0 && offsets[1]! <= 2_500_000, `${offsets}`)
  const patch = proxy.requests.find(({ method }) => method === 'PATCH')
  assert.equal(patch?.headers['content-range'], `${offsets[1]}-${blob.bytes.length - 1}`)
})

test('an upload begins again where the registry has forgotten it, and ends where only the answer was lost', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t)
  const repository = client.repository('cut/upload')
  const first = makeBlob(8_000_000)
  // This registry does not tell the state of an upload whose connection broke.
  proxy.inject({ method: 'PUT', path: /uploads/, fault: { kind: 'cut-upload', afterBytes: 2_500_000 } })
  assert.equal(await repository.pushBlob(first.descriptor, first.open), 'uploaded')
  assert.deepEqual(await repository.smallBlob(first.descriptor, first.bytes.length), first.bytes)
  const second = makeBlob(500_000, 2)
  proxy.inject({ method: 'PUT', path: /uploads/, fault: { kind: 'lost-answer' } })
  proxy.requests.length = 0
  assert.equal(await repository.pushBlob(second.descriptor, second.open), 'uploaded')
  assert.equal(proxy.requests.filter(({ method }) => method === 'PUT').length, 1)
  const third = makeBlob(500_000, 3)
  proxy.inject({ method: 'POST', path: /uploads/, fault: { kind: 'status', status: 503 } })
  proxy.inject({ method: 'PUT', path: /uploads/, fault: { kind: 'status', status: 404 } })
  assert.equal(await repository.pushBlob(third.descriptor, third.open), 'uploaded')
})

test('what the source of an upload throws comes out, and a wrong size is an IntegrityError', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t)
  const repository = client.repository('bad/source')
  const blob = makeBlob(500_000)
  const broken = new Error('the disk is on fire')
  async function* open(): AsyncGenerator<Uint8Array> {
    yield blob.bytes.subarray(0, 100_000)
    throw broken
  }
  await assert.rejects(repository.pushBlob(blob.descriptor, open), broken)
  const { digest } = blob.descriptor
  await assert.rejects(repository.pushBlob({ digest, size: 400_000 }, blob.open), IntegrityError)
  await assert.rejects(repository.pushBlob({ digest, size: 600_000 }, blob.open), IntegrityError)
  assert.equal(await repository.hasBlob(digest), false)
  assert.equal(proxy.requests.filter(({ method }) => method === 'DELETE').length, 3)
  const other = makeBlob(1000)
  await assert.rejects(repository.pushBlob({ digest: digestOf('x'), size: 1000 }, other.open), /DIGEST_INVALID/)
})

test('everything stops with its signal, whose reason comes out', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t)
  const repository = client.repository('abort/image')
  const { layer } = await pushTestImage(repository, 'v1')
  const reason = new Error('enough')
  proxy.inject({ method: 'GET', times: 10, fault: { kind: 'stall', afterBytes: 1000 } })
  for (const action of [
    (signal: AbortSignal) => collect(repository.blob(layer.descriptor, { signal })),
    (signal: AbortSignal) => repository.manifest('v1', { signal, maxBytes: 100_000 }),
  ]) {
    const controller = new AbortController()
    const seen = proxy.requests.length
    const result = action(controller.signal)
    const rejected = assert.rejects(result, reason)
    while (proxy.requests.length === seen) await new Promise((resolve) => setImmediate(resolve))
    controller.abort(reason)
    await rejected
  }
  const controller = new AbortController()
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (let count = 0; ; count++) {
      if (count === 20) controller.abort(reason)
      yield Buffer.alloc(1000)
    }
  }
  const descriptor = { digest: digestOf('never'), size: 1e9 }
  await assert.rejects(repository.pushBlob(descriptor, endless, { signal: controller.signal }), reason)
})

test('Docker schema 1, and documents of two kinds, are refused by name', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const { proxy, client } = await setUp(t)
  const repository = client.repository('old/image')
  const answer = (document: object, type: string): void => {
    const fault = {
      kind: 'status',
      status: 200,
      headers: { 'content-type': type },
      body: JSON.stringify(document),
    } as const
    proxy.inject({ path: /manifests/, fault })
  }
  answer({ schemaVersion: 1, name: 'old', fsLayers: [] }, 'application/vnd.docker.distribution.manifest.v1+prettyjws')
  await assert.rejects(repository.manifest('v1'), (error) => {
    assert.ok(error instanceof UnsupportedImageError)
    assert.equal(error.feature, 'a manifest of Docker schema 1')
    return true
  })
  answer({ schemaVersion: 2, manifests: [], layers: [], config: {} }, kMediaType.index)
  await assert.rejects(repository.manifest('v1'), /an image and an index at once/)
  answer({ schemaVersion: 2, manifests: [] }, 'application/json')
  assert.equal((await repository.manifest('v1')).mediaType, kMediaType.index)
  assert.equal(blobOf(Buffer.alloc(0)).descriptor.size, 0)
})
