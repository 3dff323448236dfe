import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConflictError, IntegrityError, LayerError, NotFoundError, PlatformError } from '../../lib/errors.ts'
import { Image, type ImageProgress } from '../../lib/image.ts'
import { digestOf } from '../../lib/oci/digest.ts'
import { needs } from '../helpers/needs.ts'
import { first, makeOciLayout, openEngine, run, skopeoInspect, tempDir } from './image-fixtures.ts'

async function leftovers(root: string): Promise<string[]> {
  const names: string[] = []
  for (const dir of ['oci/blobs/sha256', 'layers', 'tmp']) {
    for (const name of await readdir(join(root, dir))) names.push(`${dir}/${name}`)
  }
  return names
}

test('loads an OCI layout made by umoci, and skopeo reads what the store holds', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir, 'demo')
  const engine = await openEngine(t, join(dir, 'root'))
  const image = first(await Image.load(layout, { engine }))
  const foreign = await skopeoInspect(`oci:${layout}:demo`)
  assert.equal(image.digest, foreign.Digest)
  assert.deepEqual(
    image.layers.map((layer) => layer.digest),
    foreign.Layers,
  )
  assert.deepEqual(image.tags, [])
  assert.deepEqual(image.config.Env, ['WHO=umoci'])
  assert.equal(image.rootfs.kind, 'layers')
  assert.ok(image.rootfs.kind === 'layers')
  const { layers } = image.rootfs
  assert.equal(layers.length, 2)
  assert.equal(await readFile(join(layers[1]?.dir ?? '', 'srv/hello'), 'utf8'), 'from the second layer\n')
  assert.deepEqual(await readFile(join(layers[0]?.dir ?? '', 'bin/busybox')), await readFile('/bin/busybox'))
  await image.tag('demo/app:1')
  assert.equal((await skopeoInspect(`oci:${engine.root}/oci:docker.io/demo/app:1`)).Digest, image.digest)
  assert.ok(image.sizeBytes > 100_000)
})

test('loads docker-archive and OCI archive, by path and by stream, as one image', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const [docker, oci] = [join(dir, 'docker.tar'), join(dir, 'oci.tar')]
  await run('skopeo', 'copy', `oci:${layout}:demo`, `docker-archive:${docker}:demo/app:2`)
  await run('skopeo', 'copy', `oci:${layout}:demo`, `oci-archive:${oci}:demo/app:3`)
  const engine = await openEngine(t, join(dir, 'root'))
  const progress: ImageProgress[] = []
  const fromDocker = first(await Image.load(docker, { engine, onProgress: (event) => progress.push(event) }))
  const fromOci = first(await Image.load(createReadStream(oci), { engine }))
  assert.deepEqual(fromDocker.tags, ['docker.io/demo/app:2'])
  assert.deepEqual(fromOci.tags, ['docker.io/demo/app:3'])
  assert.deepEqual(fromDocker.rootfs, fromOci.rootfs)
  assert.equal(progress.at(-1)?.phase, 'done')
  assert.equal(progress.filter((event) => event.phase === 'unpacking').length, 2)
  assert.equal((await Image.get('demo/app:2', { engine })).id, fromDocker.id)
  assert.equal((await Image.get(fromOci.id.slice(7, 19), { engine })).id, fromOci.id)
  assert.equal((await Image.get(`demo/app@${fromOci.digest}`, { engine })).digest, fromOci.digest)
  assert.equal((await skopeoInspect(`oci:${engine.root}/oci:docker.io/demo/app:2`)).Digest, fromDocker.digest)
  await run('gzip', '-k', docker)
  assert.equal(first(await Image.load(`${docker}.gz`, { engine })).digest, fromDocker.digest)
})

test('loads a layer whose tar lacks its last padding and end, as umoci insert makes it', async (t) => {
  if (!needs(t, 'command:umoci')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  await run('umoci', 'insert', '--rootless', '--image', `${layout}:demo`, join(dir, 'srv'), '/more')
  const engine = await openEngine(t, join(dir, 'root'))
  const image = first(await Image.load(layout, { engine }))
  assert.ok(image.rootfs.kind === 'layers')
  assert.equal(await readFile(join(image.rootfs.layers[2]?.dir ?? '', 'more/hello'), 'utf8'), 'from the second layer\n')
})

test('a forced removal keeps the files of a running container until it ends', async (t) => {
  if (!needs(t, 'command:umoci')) return
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const image = first(await Image.load(await makeOciLayout(dir), { engine }))
  const stop = image.use()
  await image.remove({ force: true })
  await engine.store.sweep()
  await engine.store.idle()
  assert.equal((await readdir(join(engine.root, 'layers'))).length, 2)
  stop()
  stop()
  await engine.store.idle()
  assert.deepEqual(await leftovers(engine.root), [])
})

test('loads an image that buildah made', async (t) => {
  if (!needs(t, 'root', 'command:buildah', 'command:umoci')) return
  const dir = await tempDir(t)
  await makeOciLayout(dir)
  const options = ['--storage-driver', 'vfs', '--root', join(dir, 'b'), '--runroot', join(dir, 'r')]
  const container = (await run('buildah', ...options, 'from', 'scratch')).trim()
  await run('buildah', ...options, 'copy', container, join(dir, 'rootfs'), '/')
  await run('buildah', ...options, 'config', '--entrypoint', '["/bin/busybox"]', '--label', 'a=b', container)
  await run(
    'buildah',
    ...options,
    'commit',
    '--format',
    'docker',
    container,
    `docker-archive:${dir}/b.tar:from/buildah:1`,
  )
  const engine = await openEngine(t, join(dir, 'root'))
  const image = first(await Image.load(join(dir, 'b.tar'), { engine }))
  assert.deepEqual(image.config.Entrypoint, ['/bin/busybox'])
  assert.equal(image.config.Labels?.a, 'b')
  assert.deepEqual(image.tags, ['docker.io/from/buildah:1'])
  assert.ok((await image.history()).some((step) => step.layer !== undefined))
})

test('concurrent loads of one archive unpack each layer once', async (t) => {
  if (!needs(t, 'command:umoci')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const engine = await openEngine(t, join(dir, 'root'))
  const aborted = Image.load(layout, { engine, signal: AbortSignal.abort(new Error('stop')) })
  await assert.rejects(aborted, /stop/)
  const loads = await Promise.all(Array.from({ length: 6 }, () => Image.load(layout, { engine })))
  assert.equal(new Set(loads.map((images) => first(images).id)).size, 1)
  assert.equal((await Image.list({ engine })).length, 1)
  assert.equal((await readdir(join(engine.root, 'layers'))).length, 2)
  assert.deepEqual(await readdir(join(engine.root, 'tmp')), [])
})

test('an abort in the middle leaves nothing', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const archive = join(dir, 'oci.tar')
  await run('skopeo', 'copy', `oci:${layout}:demo`, `oci-archive:${archive}`)
  const engine = await openEngine(t, join(dir, 'root'))
  for (const phase of ['reading', 'unpacking']) {
    const controller = new AbortController()
    const reason = new Error(`stopped while ${phase}`)
    const onProgress = (event: ImageProgress): void => {
      if (event.phase === phase) controller.abort(reason)
    }
    await assert.rejects(Image.load(archive, { engine, signal: controller.signal, onProgress }), reason)
  }
  await engine.store.idle()
  assert.deepEqual(await leftovers(engine.root), [])
  assert.deepEqual(await Image.list({ engine }), [])
})

test('refuses wrong digests, sizes and cut archives, and keeps nothing', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const archive = join(dir, 'oci.tar')
  await run('skopeo', 'copy', `oci:${layout}:demo`, `oci-archive:${archive}:a/b:1`)
  const engine = await openEngine(t, join(dir, 'root'))
  const { Layers, Digest } = await skopeoInspect(`oci:${layout}:demo`)
  const size = (await readFile(archive)).byteLength
  for (const length of [size - 2000, Math.floor(size / 2), 700, 100, 0]) {
    await truncate(archive, length)
    await assert.rejects(Image.load(archive, { engine }), LayerError, `cut to ${length}`)
  }
  for (const digest of [first(Layers), Digest]) {
    const path = join(layout, 'blobs/sha256', digest.slice(7))
    const good = await readFile(path)
    const bad = Buffer.from(good)
    bad.writeUInt8((bad.at(-9) ?? 0) ^ 1, bad.byteLength - 9)
    await writeFile(path, bad)
    await assert.rejects(
      Image.load(layout, { engine }),
      (error) => error instanceof IntegrityError || error instanceof LayerError,
    )
    await writeFile(path, Buffer.concat([good, Buffer.from('x')]))
    await assert.rejects(Image.load(layout, { engine }), IntegrityError)
    await writeFile(path, good)
  }
  await engine.store.idle()
  assert.deepEqual(await leftovers(engine.root), [])
  assert.equal((await Image.load(layout, { engine })).length, 1)
})

test('refuses a layer whose content is not what the configuration says', async (t) => {
  if (!needs(t, 'command:umoci')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const blob = (digest: string) => join(layout, 'blobs/sha256', digest.slice(7))
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
    manifests: { digest: string; size: number }[]
  }
  const entry = first(index.manifests)
  const manifest = JSON.parse(await readFile(blob(entry.digest), 'utf8')) as {
    config: { digest: string; size: number }
  }
  const config = JSON.parse(await readFile(blob(manifest.config.digest), 'utf8')) as { rootfs: { diff_ids: string[] } }
  config.rootfs.diff_ids.reverse()
  const put = async (value: unknown): Promise<{ digest: string; size: number }> => {
    const bytes = Buffer.from(JSON.stringify(value))
    await writeFile(blob(digestOf(bytes)), bytes)
    return { digest: digestOf(bytes), size: bytes.byteLength }
  }
  Object.assign(manifest.config, await put(config))
  Object.assign(entry, await put(manifest))
  await writeFile(join(layout, 'index.json'), JSON.stringify(index))
  const engine = await openEngine(t, join(dir, 'root'))
  await assert.rejects(Image.load(layout, { engine }), IntegrityError)
  await engine.store.idle()
  assert.deepEqual(await leftovers(engine.root), [])
})

test('chooses the platform in a nested index, or says which there are', async (t) => {
  if (!needs(t, 'command:umoci')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const path = join(layout, 'index.json')
  const index = JSON.parse(await readFile(path, 'utf8')) as {
    manifests: { digest: string; annotations?: unknown; platform?: unknown }[]
  }
  const entry = first(index.manifests)
  delete entry.annotations
  const inner = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        { ...entry, digest: `sha256:${'0'.repeat(64)}`, platform: { os: 'linux', architecture: 's390x' } },
        { ...entry, platform: { os: 'linux', architecture: 'riscv64' } },
        { ...entry, digest: `sha256:${'1'.repeat(64)}`, platform: { os: 'unknown', architecture: 'unknown' } },
      ],
    }),
  )
  await writeFile(join(layout, 'blobs/sha256', digestOf(inner).slice(7)), inner)
  const mediaType = 'application/vnd.oci.image.index.v1+json'
  const annotations = {
    'org.opencontainers.image.ref.name': '1.0',
    'io.containerd.image.name': 'docker.io/multi/arch:1.0',
  }
  const manifests = [{ mediaType, digest: digestOf(inner), size: inner.byteLength, annotations }]
  await writeFile(path, JSON.stringify({ schemaVersion: 2, manifests }))
  const engine = await openEngine(t, join(dir, 'root'))
  const image = first(await Image.load(layout, { engine, platform: 'linux/riscv64' }))
  assert.equal(image.digest, entry.digest)
  assert.deepEqual(image.tags, ['docker.io/multi/arch:1.0'])
  await assert.rejects(Image.load(layout, { engine, platform: 'linux/mips64' }), (error) => {
    assert.ok(error instanceof PlatformError)
    assert.deepEqual(error.available, ['linux/s390x', 'linux/riscv64'])
    return true
  })
})

test('the only image of an archive is refused where another platform was asked for', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const archive = join(dir, 'docker.tar')
  await run('skopeo', 'copy', '--quiet', `oci:${layout}:demo`, `docker-archive:${archive}:demo/app:1`)
  const engine = await openEngine(t, join(dir, 'root'))
  for (const source of [layout, archive]) {
    await assert.rejects(Image.load(source, { engine, platform: 'linux/s390x' }), (error) => {
      assert.ok(error instanceof PlatformError)
      assert.deepEqual([error.wanted, error.available], ['linux/s390x', ['linux/amd64']])
      return true
    })
    assert.deepEqual(await Image.list({ engine }), [])
  }
  for (const platform of ['linux/amd64', undefined]) {
    assert.equal((await Image.load(archive, { engine, platform })).length, 1)
  }
})

test('tags move, images go, and shared layers stay', async (t) => {
  if (!needs(t, 'command:umoci')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir, 'one')
  await run('umoci', 'config', '--image', `${layout}:one`, '--tag', 'two', '--config.env', 'X=2')
  const engine = await openEngine(t, join(dir, 'root'))
  const [one, two] = await Image.load(layout, { engine })
  assert.ok(one !== undefined && two !== undefined)
  await one.tag('app')
  await two.tag('app')
  assert.equal((await Image.get('app', { engine })).id, two.id)
  assert.deepEqual((await Image.get(one.id, { engine })).tags, [])
  await assert.rejects(one.untag('app'), NotFoundError)
  const stop = one.use()
  await assert.rejects(one.remove(), ConflictError)
  stop()
  await one.remove()
  await assert.rejects(Image.get(one.id, { engine }), NotFoundError)
  await assert.rejects(one.remove(), NotFoundError)
  await engine.store.idle()
  assert.ok(two.rootfs.kind === 'layers')
  for (const layer of two.rootfs.layers) assert.ok((await readdir(layer.dir)).length > 0)
  await two.untag('app')
  assert.deepEqual(two.tags, [])
  await two.remove()
  await engine.store.idle()
  assert.deepEqual(await leftovers(engine.root), [])
})
