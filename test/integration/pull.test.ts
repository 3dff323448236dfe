// SPDX-License-Identifier: MIT
// Images that other tools pushed to Debian's docker-registry, pulled and run.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { RegistryClient } from '../../lib/distribution/registry-client.ts'
import { Engine } from '../../lib/engine.ts'
import {
  InvalidOptionError,
  NotFoundError,
  PlatformError,
  RegistryAuthError,
  UnsupportedImageError,
} from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { digestOf } from '../../lib/oci/digest.ts'
import { kMediaType } from '../../lib/oci/image-config.ts'
import type { PullProgress } from '../../lib/transfer/pull.ts'
import { startDockerRegistry, USER } from '../helpers/docker-registry.ts'
import { startFaultyProxy } from '../helpers/faulty-proxy.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { needs } from '../helpers/needs.ts'
import { podmanIn } from '../helpers/podman.ts'
import { makeRootfs, openEngine, packTar, run, skopeoInspect, tempDir } from './image-fixtures.ts'
import {
  assertSound,
  contentOf,
  makeLargeImage,
  needsRegistry,
  rawManifest,
  seedRegistry,
  skopeoPush,
} from './pull-fixtures.ts'
import { needsContainers } from './rootfs.ts'

checkLeftovers()

test('an image that skopeo pushed: pulled, listed, run', async (t) => {
  if (!needsRegistry(t)) return
  const { dir, reference } = await seedRegistry(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const events: PullProgress[] = []
  const image = await Image.pull(reference, { engine, onProgress: (event) => events.push(event) })
  const { text, manifest } = await rawManifest(reference)
  assert.equal(image.digest, digestOf(text))
  assert.equal(image.id, manifest.config.digest)
  assert.deepEqual(image.tags, [reference])
  assert.deepEqual(
    image.layers.map(({ digest, sizeBytes }) => ({ digest, size: sizeBytes })),
    manifest.layers.map(({ digest, size }) => ({ digest, size })),
  )
  assert.deepEqual(
    (await Image.list({ engine })).map(({ id }) => id),
    [image.id],
  )
  checkEvents(events, image)
  await assertSound(engine)
  const stored = await skopeoInspect(`oci:${join(engine.root, 'oci')}:${reference}`)
  assert.equal(stored.Digest, image.digest)
  assert.deepEqual(
    stored.Layers,
    image.layers.map(({ digest }) => digest),
  )
  await t.test('runs', async (t) => {
    if (!needsContainers(t)) return
    const { stdout } = await Container.run(image, ['/bin/busybox', 'cat', '/srv/hello'], { engine })
    assert.equal(stdout, 'from the second layer\n')
  })
})

function checkEvents(events: readonly PullProgress[], image: Image): void {
  assert.equal(events[0]?.phase, 'resolving')
  const total = image.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0)
  assert.deepEqual(events.at(-1), { phase: 'done', digest: image.digest, bytes: total, totalBytes: total })
  for (const [position, layer] of image.layers.entries()) {
    const own = events.filter((event) => event.layer?.digest === layer.digest)
    assert.deepEqual([...new Set(own.map((event) => event.phase))], ['downloading', 'unpacking', 'done'])
    assert.deepEqual(own.at(-1), {
      phase: 'done',
      digest: layer.digest,
      bytes: layer.sizeBytes,
      totalBytes: layer.sizeBytes,
      layer: { digest: layer.digest, position, count: image.layers.length },
    })
    for (const [at, event] of own.entries()) assert.ok(event.bytes >= (own[at - 1]?.bytes ?? 0), 'bytes only grow')
  }
}

test('an image that podman pushed, by name in Container.run', async (t) => {
  if (!needsRegistry(t) || !needs(t, 'command:podman') || !needsContainers(t)) return
  const dir = await tempDir(t)
  const { host } = await startDockerRegistry(t)
  const tar = await packTar(await makeRootfs(dir), join(dir, 'rootfs.tar'))
  const podman = podmanIn(dir)
  await podman('import', '--quiet', '--change', 'ENV=WHO=podman', tar, `${host}/team/app:2`)
  await podman('push', '--quiet', '--tls-verify=false', '--format', 'v2s2', `${host}/team/app:2`)
  const engine = await openEngine(t, join(dir, 'root'))
  const command = ['/bin/busybox', 'sh', '-c', 'echo "$WHO"']
  const { stdout } = await Container.run(`${host}/team/app:2`, command, { engine })
  assert.equal(stdout, 'podman\n')
  const image = await Image.get(`${host}/team/app:2`, { engine })
  assert.equal((await image.inspect()).layers[0]?.mediaType, 'application/vnd.docker.image.rootfs.diff.tar.gzip')
  await assertSound(engine)
})

test('policies: missing asks once, always asks for the tag, never asks nobody', async (t) => {
  if (!needsRegistry(t)) return
  const seeded = await seedRegistry(t)
  const proxy = await startFaultyProxy(t, seeded.host)
  const reference = `${proxy.host}/demo:1`
  const engine = await openEngine(t, join(seeded.dir, 'root'))
  await assert.rejects(Image.pull(reference, { engine, policy: 'never' }), (error) => {
    assert.ok(error instanceof NotFoundError)
    assert.match(error.message, /is not in the store\. Hint: pull it with policy 'missing'/)
    return true
  })
  assert.equal(proxy.requests.length, 0)
  const image = await Image.pull(reference, { engine })
  proxy.reset()
  assert.equal((await Image.pull(reference, { engine })).id, image.id)
  assert.equal((await Image.pull(reference, { engine, policy: 'never' })).id, image.id)
  assert.equal(proxy.requests.length, 0)
  assert.equal((await Image.pull(reference, { engine, policy: 'always' })).id, image.id)
  assert.deepEqual(
    proxy.requests.filter((request) => request.path !== '/v2/').map((request) => request.method),
    ['HEAD'],
  )
  // The tag moves.
  await skopeoPush(`oci:${await makeLargeImage(seeded.dir, [1000])}`, seeded.reference)
  assert.equal((await Image.pull(reference, { engine })).id, image.id)
  const moved = await Image.pull(reference, { engine, policy: 'always' })
  assert.notEqual(moved.id, image.id)
  assert.deepEqual(moved.tags, [reference])
  assert.deepEqual((await Image.get(image.id, { engine })).tags, [])
  await assertSound(engine)
})

test('by digest, and by tag and digest: what the digest says', async (t) => {
  if (!needsRegistry(t)) return
  const { dir, host, reference } = await seedRegistry(t)
  const digest = digestOf((await rawManifest(reference)).text)
  const engine = await openEngine(t, join(dir, 'root'))
  for (const name of [`${host}/demo@${digest}`, `${reference}@${digest}`, `${host}/demo:no-such-tag@${digest}`]) {
    const image = await Image.pull(name, { engine })
    assert.equal(image.digest, digest)
    assert.equal((await Image.get(name, { engine })).digest, digest)
  }
  const other = digestOf('something else')
  await assert.rejects(Image.pull(`${reference}@${other}`, { engine }), (error) => {
    assert.ok(error instanceof NotFoundError)
    assert.ok(error.message.includes(`${other} of ${host}/demo does not exist`), error.message)
    return true
  })
  await assertSound(engine)
})

test('an image for several platforms', async (t) => {
  if (!needsRegistry(t)) return
  const seeded = await seedRegistry(t)
  const { dir, host } = seeded
  const index = await pushIndex(t, seeded.reference, `${host}/multi:1`)
  const engine = await openEngine(t, join(dir, 'root'))
  const name = `${host}/multi:1`
  const image = await Image.pull(name, { engine, platform: 'linux/amd64' })
  assert.equal(image.platform.architecture, 'amd64')
  assert.equal(image.digest, index.amd64)
  assert.equal((await Image.get(`${host}/multi@${index.digest}`, { engine })).id, image.id)
  await assert.rejects(Image.pull(name, { engine, platform: 'linux/s390x' }), (error) => {
    assert.ok(error instanceof PlatformError)
    assert.equal(error.wanted, 'linux/s390x')
    assert.deepEqual(error.available, ['linux/amd64', 'linux/arm64/v8'])
    return true
  })
  await assert.rejects(Image.pull(name, { engine, platform: 'linux/s390x', policy: 'never' }), NotFoundError)
  const arm = await Image.pull(name, { engine, platform: 'linux/arm64' })
  assert.equal(arm.platform.architecture, 'arm64')
  // The name is the last one's now; what is there for another platform is not taken for the wanted one.
  assert.deepEqual((await Image.get(image.id, { engine })).tags, [])
  assert.equal((await Image.pull(name, { engine, platform: 'linux/amd64' })).id, image.id)
  // A single image for another platform than the wanted one.
  await assert.rejects(Image.pull(seeded.reference, { engine, platform: 'linux/arm64' }), PlatformError)
  await assertSound(engine)
})

/** Pushes an index of an image and of one that says it is for arm64, with an attestation as build tools add it. */
async function pushIndex(
  t: import('node:test').TestContext,
  source: string,
  target: string,
): Promise<{ digest: string; amd64: string }> {
  const [host = '', path = ''] = target.replace(/:\w+$/, '').split('/')
  const client = new RegistryClient(host)
  t.after(() => client.close())
  const repository = client.repository(path)
  await run(
    'skopeo',
    'copy',
    '--quiet',
    '--src-tls-verify=false',
    '--dest-tls-verify=false',
    `docker://${source}`,
    `docker://${host}/${path}:amd64`,
  )
  const { text, manifest } = await rawManifest(`${host}/${path}:amd64`)
  const mediaType = kMediaType.manifest
  const config = JSON.parse(String(await repository.smallBlob(manifest.config, 1e6))) as Record<string, unknown>
  const armConfig = Buffer.from(JSON.stringify({ ...config, architecture: 'arm64', variant: 'v8' }))
  const configDigest = digestOf(armConfig)
  await repository.pushBlob({ digest: configDigest, size: armConfig.length }, async function* (offset) {
    yield armConfig.subarray(offset)
  })
  const armManifest = { ...manifest, config: { ...manifest.config, digest: configDigest, size: armConfig.length } }
  const armBytes = Buffer.from(JSON.stringify(armManifest))
  await repository.pushManifest(digestOf(armBytes), armBytes, mediaType)
  const entry = (bytes: Buffer | string, platform: object, extra: object = {}): object => {
    return { mediaType, digest: digestOf(bytes), size: Buffer.byteLength(bytes), platform, ...extra }
  }
  const attestation = { annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } }
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: kMediaType.index,
      manifests: [
        entry(text, { os: 'unknown', architecture: 'unknown' }, attestation),
        entry(text, { os: 'linux', architecture: 'amd64' }),
        entry(armBytes, { os: 'linux', architecture: 'arm64', variant: 'v8' }),
      ],
    }),
  )
  const digest = await repository.pushManifest('1', index, kMediaType.index)
  return { digest, amd64: digestOf(text) }
}

test('all platforms of an image, pulled and pushed elsewhere as they are', async (t) => {
  if (!needsRegistry(t)) return
  const seeded = await seedRegistry(t)
  const index = await pushIndex(t, seeded.reference, `${seeded.host}/multi:1`)
  const target = await startDockerRegistry(t)
  const engine = await openEngine(t, join(seeded.dir, 'root'))
  const partly = await Image.pull(`${seeded.host}/multi:1`, { engine, platform: 'linux/amd64' })
  await assert.rejects(partly.push(`${target.host}/multi:1`, { allPlatforms: true }), (error) => {
    assert.ok(error instanceof NotFoundError)
    assert.match(error.message, /another platform.*allPlatforms/s)
    return true
  })
  const image = await Image.pull(`${seeded.host}/multi:1`, { engine, platform: 'linux/amd64', allPlatforms: true })
  await assertSound(engine)
  const pushed = await image.push(`${target.host}/multi:1`, { allPlatforms: true })
  assert.equal(pushed.digest, index.digest)
  const copied = await rawManifest(`${target.host}/multi:1`)
  assert.equal(digestOf(copied.text), index.digest)
  const layout = join(seeded.dir, 'copy')
  await run(
    'skopeo',
    'copy',
    '--quiet',
    '--all',
    '--src-tls-verify=false',
    `docker://${target.host}/multi:1`,
    `oci:${layout}:all`,
  )
})

test('registries that ask who one is: Basic, tokens, a private authority', async (t) => {
  if (!needsRegistry(t) || !needs(t, 'command:openssl')) return
  const dir = await tempDir(t)
  const source = `oci:${await makeLargeImage(dir, [5000])}`
  const cases = [{ auth: 'htpasswd' }, { auth: 'token' }, { tls: true }, { auth: 'htpasswd', tls: true }] as const
  for (const [position, options] of cases.entries()) {
    const { host, ca } = await startDockerRegistry(t, options)
    const auth = 'auth' in options ? USER : undefined
    const flags = auth === undefined ? [] : ['--dest-creds', `${auth.username}:${auth.password}`]
    await skopeoPush(source, `${host}/private/app:1`, ...flags)
    const reference = `${host}/private/app:1`
    const root = join(dir, `root-${position}`)
    // Given for the engine, and for the call.
    await using engine = await Engine.open({
      root,
      registries: { [host]: { ...(auth === undefined ? {} : { auth }), ...(ca === undefined ? {} : { ca }) } },
    })
    const image = await Image.pull(reference, { engine })
    await using other = await Engine.open({ root: join(dir, `other-${position}`) })
    assert.equal((await Image.pull(reference, { engine: other, auth: auth ?? 'anonymous', ca })).id, image.id)
    await assertSound(other)
    const [pushed] = [await image.push(`${host}/private/app:2`)]
    assert.equal(pushed.digest, image.digest)
    if (auth === undefined) continue
    const wrong = { engine, policy: 'always', ca, auth: { ...auth, password: randomUUID() } } as const
    await assert.rejects(Image.pull(reference, wrong), (error) => {
      assert.ok(error instanceof RegistryAuthError)
      assert.ok(!error.message.includes(wrong.auth.password))
      return true
    })
  }
})

test('what is no image that can be used is refused by name', async (t) => {
  if (!needsRegistry(t)) return
  const { dir, host, reference } = await seedRegistry(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const { manifest } = await rawManifest(reference)
  const client = new RegistryClient(host)
  t.after(() => client.close())
  const repository = client.repository('demo')
  const push = (tag: string, document: object): Promise<unknown> =>
    repository.pushManifest(tag, Buffer.from(JSON.stringify(document)), kMediaType.manifest)
  const layered = (mediaType: string): object => ({
    ...manifest,
    layers: manifest.layers.map((layer) => ({ ...layer, mediaType })),
  })
  await push('artifact', {
    ...manifest,
    artifactType: 'application/vnd.example.sbom',
    config: { ...manifest.config, mediaType: 'application/vnd.oci.empty.v1+json' },
  })
  await push('helm', {
    ...manifest,
    config: { ...manifest.config, mediaType: 'application/vnd.cncf.helm.config.v1+json' },
  })
  await push('encrypted', layered('application/vnd.oci.image.layer.v1.tar+gzip+encrypted'))
  await push('foreign', layered('application/vnd.oci.image.layer.nondistributable.v1.tar+gzip'))
  await push('unknown', layered('application/x-squashfs'))
  const expected = {
    artifact: /artifact of type "application\/vnd\.example\.sbom"/,
    helm: /artifact of type "application\/vnd\.cncf\.helm\.config\.v1\+json"/,
    encrypted: /an encrypted layer, sha256:\w+\. Hint: decrypt/,
    foreign: /a foreign layer, sha256:/,
    unknown: /a layer of type "application\/x-squashfs"/,
  }
  for (const [tag, message] of Object.entries(expected)) {
    await assert.rejects(Image.pull(`${host}/demo:${tag}`, { engine }), (error) => {
      assert.ok(error instanceof UnsupportedImageError, String(error))
      assert.match(error.message, message)
      return true
    })
  }
  assert.deepEqual(await contentOf(engine), [])
  await assertSound(engine)
})

test('options are checked before anything is touched', async (t) => {
  const dir = await tempDir(t)
  const open = (registries: unknown): Promise<unknown> =>
    Engine.open({ root: join(dir, 'no'), registries: registries as never })
  const option = async (promise: Promise<unknown>, name: string): Promise<void> => {
    await assert.rejects(promise, (error) => {
      assert.ok(error instanceof InvalidOptionError, String(error))
      assert.equal(error.option, name)
      assert.ok(!error.message.includes('secret'))
      return true
    })
  }
  await option(open([]), 'registries')
  await option(open({ 'docker.io': { mirror: [] } }), 'registries["docker.io"].mirror')
  await option(open({ 'docker.io': { mirrors: ['http://a/b?c'] } }), 'registries["docker.io"].mirrors[0]')
  await option(open({ 'docker.io': { auth: { username: 'secret' } } }), 'registries["docker.io"].auth')
  await option(open({ 'docker.io': { insecure: 1 } }), 'registries["docker.io"].insecure')
  await option(open({ 'not a host': {} }), 'registries["not a host"]')
  await option(open({ 'docker.io': {}, 'index.docker.io': {} }), 'registries["index.docker.io"]')
  const engine = await openEngine(t, join(dir, 'root'))
  await option(Image.pull('a', { engine, policy: 'sometimes' as never }), 'policy')
  await option(Image.pull('a', { engine, platform: 'a/b/c/d' }), 'platform')
  await option(Image.pull('a', { engine, concurrency: 0 }), 'concurrency')
  await option(Image.pull('a', { engine, allPlatform: true } as never), 'allPlatform')
  await assert.rejects(Image.pull('A b', { engine }), { code: 'ERR_INVALID_REFERENCE' })
  await assert.rejects(Image.host().push('a'), { code: 'ERR_CONFLICT' })
})
