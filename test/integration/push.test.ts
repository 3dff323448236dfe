// SPDX-License-Identifier: MIT
// Images pushed to Debian's docker-registry, and what other tools then find there.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type TestContext, test } from 'node:test'
import type { Engine } from '../../lib/engine.ts'
import { InvalidOptionError, NotFoundError, RegistryAuthError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import type { PushProgress } from '../../lib/transfer/push.ts'
import { startDockerRegistry } from '../helpers/docker-registry.ts'
import { type FaultRule, startFaultyProxy } from '../helpers/faulty-proxy.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { needs } from '../helpers/needs.ts'
import { podmanIn } from '../helpers/podman.ts'
import { describeTree } from '../helpers/rich-tree.ts'
import { makeOciLayout, makeRootfs, openEngine, packTar, run, tempDir } from './image-fixtures.ts'
import { assertSound, makeLargeImage, namesOf, needsRegistry, rawManifest } from './pull-fixtures.ts'

checkLeftovers()

async function loadDemo(t: TestContext): Promise<{ dir: string; engine: Engine; image: Image }> {
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const engine = await openEngine(t, join(dir, 'root'))
  const [image] = await Image.load(layout, { engine })
  assert.ok(image !== undefined)
  return { dir, engine, image }
}

test('skopeo, umoci and podman find what was pushed', async (t) => {
  if (!needsRegistry(t)) return
  const { dir, engine, image } = await loadDemo(t)
  const { host } = await startDockerRegistry(t)
  const events: PushProgress[] = []
  const result = await image.push(`${host}/team/demo:1`, { onProgress: (event) => events.push(event) })
  assert.equal(result.digest, image.digest)
  assert.equal(result.reference, `${host}/team/demo:1`)
  assert.deepEqual(
    result.blobs.map(({ digest, outcome }) => ({ digest, outcome })).sort((a, b) => a.digest.localeCompare(b.digest)),
    [image.id, ...image.layers.map((layer) => layer.digest)].sort().map((digest) => ({ digest, outcome: 'uploaded' })),
  )
  assert.deepEqual(events.at(-1), {
    phase: 'done',
    digest: image.digest,
    bytes: result.uploadedBytes,
    totalBytes: result.uploadedBytes,
  })
  for (const { digest, sizeBytes } of result.blobs) {
    const own = events.filter((event) => event.digest === digest)
    assert.deepEqual(own.at(-1), { phase: 'uploaded', digest, bytes: sizeBytes, totalBytes: sizeBytes })
  }
  await inspectWithSkopeo(image, `${host}/team/demo:1`)
  await t.test('umoci', async (t) => {
    if (needs(t, 'root', 'command:getfattr')) await unpackWithUmoci(image, dir, `${host}/team/demo:1`)
  })
  await t.test('podman', async (t) => {
    if (needs(t, 'root', 'command:podman')) await pullWithPodman(image, dir, `${host}/team/demo:1`)
  })
  await assertSound(engine)
})

async function inspectWithSkopeo(image: Image, reference: string): Promise<void> {
  const inspect = async (...flags: string[]): Promise<Record<string, unknown>> => {
    const text = await run('skopeo', 'inspect', ...flags, '--tls-verify=false', `docker://${reference}`)
    return JSON.parse(text) as Record<string, unknown>
  }
  const found = await inspect()
  assert.equal(found.Digest, image.digest)
  assert.deepEqual(
    found.Layers,
    image.layers.map((layer) => layer.digest),
  )
  const { manifest } = await rawManifest(reference)
  assert.deepEqual(
    manifest.layers.map(({ size }) => size),
    image.layers.map(({ sizeBytes }) => sizeBytes),
  )
  const config = (await inspect('--config')) as { config: { Env: string[]; Cmd: string[] } }
  assert.deepEqual(config.config.Cmd, image.config.Cmd)
  assert.deepEqual(config.config.Env, image.config.Env)
}

/** The tree that umoci makes of the pushed image is that of the layers that were unpacked here. */
async function unpackWithUmoci(image: Image, dir: string, reference: string): Promise<void> {
  const layout = join(dir, 'from-registry')
  await run('skopeo', 'copy', '--quiet', '--src-tls-verify=false', `docker://${reference}`, `oci:${layout}:x`)
  await run('umoci', 'raw', 'unpack', '--image', `${layout}:x`, join(dir, 'umoci'))
  const merged = join(dir, 'merged')
  assert.ok(image.rootfs.kind === 'layers')
  // No whiteouts in this image: one layer over the other is the tree.
  for (const layer of image.rootfs.layers) await run('cp', '-a', '--no-target-directory', layer.dir, merged)
  const how = { withoutXattrs: /^(?:user\.overlay|trusted)\./, directoryTimes: false }
  assert.equal(describeTree(merged, how), describeTree(join(dir, 'umoci'), how))
}

async function pullWithPodman(image: Image, dir: string, reference: string): Promise<void> {
  const podman = podmanIn(dir)
  await podman('pull', '--quiet', '--tls-verify=false', reference)
  const [found] = JSON.parse(await podman('image', 'inspect', reference)) as { Id: string; Digest: string }[]
  assert.equal(`sha256:${found?.Id}`, image.id)
  assert.equal(found?.Digest, image.digest)
}

test('only what is missing is sent; what another repository has is mounted', async (t) => {
  if (!needsRegistry(t)) return
  const { engine, image } = await loadDemo(t)
  const { host } = await startDockerRegistry(t)
  const first = await image.push(`${host}/one:1`)
  assert.ok(first.uploadedBytes > 0)
  const again = await image.push(`${host}/one:2`)
  assert.deepEqual([...new Set(again.blobs.map((blob) => blob.outcome))], ['exists'])
  assert.equal(again.uploadedBytes, 0)
  // The store knows by the image's name that the registry has it in `one`.
  await image.tag(`${host}/one:1`)
  const mounted = await image.push(`${host}/two:1`)
  assert.deepEqual([...new Set(mounted.blobs.map((blob) => blob.outcome))], ['mounted'])
  assert.equal(mounted.digest, image.digest)
  assert.equal((await Image.pull(`${host}/two:1`, { engine })).digest, image.digest)
})

test('the only name is where it goes', async (t) => {
  if (!needsRegistry(t)) return
  const { engine, image } = await loadDemo(t)
  const { host } = await startDockerRegistry(t)
  const copy = await Image.get(image.id, { engine })
  for (const tag of copy.tags) await copy.untag(tag)
  await assert.rejects(copy.push(), { code: 'ERR_INVALID_OPTION', option: 'reference' })
  await copy.tag(`${host}/named:3`)
  assert.equal((await copy.push()).reference, `${host}/named:3`)
  await copy.tag(`${host}/named:4`)
  await assert.rejects(copy.push(), (error) => {
    assert.ok(error instanceof InvalidOptionError)
    assert.match(error.expected, /named:3, .*named:4/)
    return true
  })
  await assert.rejects(copy.push(`${host}/named@sha256:${'0'.repeat(64)}`), {
    code: 'ERR_INVALID_OPTION',
    option: 'reference',
    message: /a name without digest, or with the image's own/,
  })
  assert.equal((await copy.push(`${host}/named@${image.digest}`)).digest, image.digest)
})

test('an image made here from a tar', async (t) => {
  if (!needsRegistry(t)) return
  const dir = await tempDir(t)
  const tar = await packTar(await makeRootfs(dir), join(dir, 'rootfs.tar'))
  const engine = await openEngine(t, join(dir, 'root'))
  const { host } = await startDockerRegistry(t)
  const image = await Image.import(tar, { engine, reference: `${host}/made:1`, config: { Cmd: ['/bin/sh'] } })
  await image.push()
  await inspectWithSkopeo(image, `${host}/made:1`)
})

test('interruptions on the way', async (t) => {
  if (!needsRegistry(t)) return
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const layout = await makeLargeImage(dir, [3_000_000])
  const [image] = await Image.load(layout.replace(/:large$/, ''), { engine })
  assert.ok(image !== undefined)
  const { host } = await startDockerRegistry(t)
  const proxy = await startFaultyProxy(t, host)
  const upload = /blobs\/uploads\/[^?]/
  const cases: Record<string, FaultRule[]> = {
    // Of the layer: the configuration may be sent first, and is smaller.
    'a cut in an upload': [
      { path: upload, minBodyBytes: 2_000_000, fault: { kind: 'cut-upload', afterBytes: 1_000_000 } },
    ],
    'an answer that is lost': [{ path: upload, fault: { kind: 'lost-answer' } }],
    'an error of the server': [{ path: /\/v2\/./, fault: { kind: 'status', status: 500 } }],
    'an error for the manifest': [{ path: /manifests/, fault: { kind: 'status', status: 503 } }],
    'too many requests': [{ path: upload, fault: { kind: 'status', status: 429, headers: { 'retry-after': '1' } } }],
  }
  for (const [position, [name, rules]] of Object.entries(cases).entries()) {
    proxy.inject(...rules)
    const { digest } = await image.push(`${proxy.host}/case-${position}:1`)
    assert.equal(digest, image.digest, name)
    assert.deepEqual(proxy.unused(), [], `${name}: a fault that never struck`)
    const { manifest } = await rawManifest(`${host}/case-${position}:1`)
    for (const { digest: blob } of manifest.layers) {
      assert.equal(await digestOfRemote(`http://${host}/v2/case-${position}/blobs/${blob}`), blob, name)
    }
  }
  proxy.inject({ path: /manifests/, fault: { kind: 'status', status: 403 } })
  await assert.rejects(image.push(`${proxy.host}/refused:1`), (error) => {
    assert.ok(error instanceof RegistryAuthError)
    assert.equal(error.status, 403)
    assert.match(error.message, /\/v2\/refused\/manifests\/1 answered 403/)
    return true
  })
  assert.deepEqual(proxy.unused(), [])
  await assertSound(engine)
})

async function digestOfRemote(url: string): Promise<string> {
  const response = await fetch(url)
  const hash = createHash('sha256')
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) hash.update(chunk)
  return `sha256:${hash.digest('hex')}`
}

test('an abort, and a blob that is not there', async (t) => {
  if (!needsRegistry(t)) return
  const { engine, image } = await loadDemo(t)
  const { host } = await startDockerRegistry(t)
  const proxy = await startFaultyProxy(t, host)
  proxy.inject({ path: /blobs\/uploads/, method: 'PUT', fault: { kind: 'stall', afterBytes: -1 } })
  const stopping = new AbortController()
  const reason = new Error('enough')
  const onProgress = ({ phase, bytes }: PushProgress): void => {
    if (phase === 'uploading' && bytes > 0) stopping.abort(reason)
  }
  const push = image.push(`${proxy.host}/a:1`, { signal: stopping.signal, onProgress })
  await assert.rejects(push, (error) => error === reason)
  assert.deepEqual(proxy.unused(), [])
  await assert.rejects(image.push(`${host}/a:1`, { signal: AbortSignal.abort(reason) }), (error) => error === reason)
  const path = engine.store.blobs.path(image.layers[0]!.digest)
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  assert.equal(`sha256:${hash.digest('hex')}`, image.layers[0]!.digest)
  await engine.store.discard(path)
  await assert.rejects(image.push(`${host}/b:1`), (error) => {
    assert.ok(error instanceof NotFoundError)
    assert.match(
      error.message,
      /^Blob sha256:\w+ of the image is not in the store\. Hint: pull or load the image again/,
    )
    return true
  })
  assert.ok(!(await namesOf(engine, 'oci/blobs/sha256')).includes(image.layers[0]!.digest.slice(7)))
})
