import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, lstat, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Ajv } from 'ajv'
import { Engine } from '../../lib/engine.ts'
import { ConflictError, InvalidOptionError, LayerError, NotFoundError, WherryError } from '../../lib/errors.ts'
import { Image, type ImageProgress } from '../../lib/image.ts'
import { digestHex, parseDigest } from '../../lib/oci/digest.ts'
import { needs } from '../helpers/needs.ts'
import { sharedDataPath } from '../helpers/package-root.ts'
import { makeRootfs, openEngine, packTar, run, skopeoInspect, tempDir } from './image-fixtures.ts'

const kChild = fileURLToPath(import.meta.url.replace(/image-import\.test\.(js|ts)$/, 'image-import-process.$1'))

test('imports a tar, gzipped or not, by path or stream, and keeps the blob as given', async (t) => {
  const dir = await tempDir(t)
  const tar = await packTar(await makeRootfs(dir), join(dir, 'rootfs.tar'))
  await run('gzip', '-k', tar)
  const engine = await openEngine(t, join(dir, 'root'))
  const config = { Cmd: ['/bin/sh'], Env: ['A=b'], WorkingDir: '/tmp' }
  const events: ImageProgress[] = []
  const onProgress = (event: ImageProgress): number => events.push(event)
  const plain = await Image.import(tar, { engine, config, reference: 'base', onProgress })
  const bytes = (await stat(tar)).size
  assert.deepEqual(events, [
    { phase: 'reading', bytes, totalBytes: undefined },
    { phase: 'done', bytes, totalBytes: bytes },
  ])
  const gzip = await Image.import(createReadStream(`${tar}.gz`), { engine, config, created: new Date(0) })
  assert.deepEqual(plain.tags, ['docker.io/library/base:latest'])
  assert.deepEqual(plain.config, config)
  assert.deepEqual(plain.rootfs, gzip.rootfs)
  assert.match(plain.layers[0]?.mediaType ?? '', /tar$/)
  assert.match(gzip.layers[0]?.mediaType ?? '', /tar\+gzip$/)
  assert.deepEqual(
    await readFile(engine.store.blobs.path(gzip.layers[0]?.digest ?? parseDigest(''))),
    await readFile(`${tar}.gz`),
  )
  const again = await Image.import(`${tar}.gz`, { engine, config, created: new Date(0) })
  assert.equal(again.id, gzip.id)
  assert.equal((await Image.list({ engine })).length, 2)
  const inspection = await plain.inspect()
  assert.equal(inspection.history[0]?.createdBy, 'wherry import')
  assert.equal(inspection.history[0]?.layer?.digest, plain.layers[0]?.digest)
  assert.ok(JSON.stringify(inspection).includes(plain.id))
  assert.deepEqual(await readdir(join(engine.root, 'tmp')), [])
})

test('another process and another program see the image', async (t) => {
  if (!needs(t, 'command:skopeo')) return
  const dir = await tempDir(t)
  const tar = await packTar(await makeRootfs(dir), join(dir, 'rootfs.tar'))
  const root = join(dir, 'root')
  const engine = await openEngine(t, root)
  const image = await Image.import(tar, { engine, reference: 'base:1' })
  assert.equal((await skopeoInspect(`oci:${root}/oci:docker.io/library/base:1`)).Digest, image.digest)
  const other = await openEngine(t, root)
  const seen = await Image.get('base:1', { engine: other })
  assert.equal(seen.digest, image.digest)
  await seen.tag('base:2')
  assert.deepEqual((await Image.get('base:2', { engine })).tags, [
    'docker.io/library/base:1',
    'docker.io/library/base:2',
  ])
  await image.remove()
  await engine.store.idle()
  assert.ok(seen.rootfs.kind === 'layers')
  // The other engine has got the image, so its files stay as long as that engine does.
  assert.ok(existsSync(seen.rootfs.layers[0]?.dir ?? ''))
  await other.close()
  await engine.store.sweep()
  assert.ok(!existsSync(seen.rootfs.layers[0]?.dir ?? ''))
})

test('documents follow the schemas of the image specification', async (t) => {
  if (!needs(t, 'data:image-spec-schema')) return
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const tar = await packTar(await makeRootfs(dir), join(dir, 'rootfs.tar'))
  const config = {
    Cmd: ['/bin/sh'],
    Env: ['A=b'],
    Volumes: { '/v': {} },
    ExposedPorts: { '80/tcp': {} },
    Labels: { a: 'b' },
  }
  const image = await Image.import(tar, { engine, config, reference: 'base:1' })
  const check = makeValidator(sharedDataPath('image-spec-schema'))
  const blob = async (digest: string) =>
    JSON.parse(await readFile(engine.store.blobs.path(parseDigest(digest)), 'utf8')) as unknown
  check('image-manifest-schema.json', await blob(image.digest ?? ''))
  check('config-schema.json', await blob(image.id))
  check('image-index-schema.json', JSON.parse(await readFile(join(engine.root, 'oci/index.json'), 'utf8')))
  check('image-layout-schema.json', JSON.parse(await readFile(join(engine.root, 'oci/oci-layout'), 'utf8')))
})

test('says what is wrong with options, files and tars', async (t) => {
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const bad = (options: object) => Image.import('/nowhere', options)
  await assert.rejects(
    bad({ engine, confg: {} }),
    (error) => error instanceof InvalidOptionError && /'config'/.test(error.hint ?? ''),
  )
  await assert.rejects(
    bad({ engine, config: { cmd: ['x'] } }),
    (error) => error instanceof InvalidOptionError && /'Cmd'/.test(error.hint ?? ''),
  )
  await assert.rejects(
    bad({ engine, config: { Cmd: 'x' } }),
    (error) => error instanceof InvalidOptionError && error.option === 'config.Cmd',
  )
  await assert.rejects(bad({ engine, created: 1 }), InvalidOptionError)
  await assert.rejects(bad({ engine: {} }), InvalidOptionError)
  await assert.rejects(bad({ engine }), NotFoundError)
  await assert.rejects(Image.load('/nowhere', { engine }), NotFoundError)
  await assert.rejects(Image.get('nothing', { engine }), NotFoundError)
  await assert.rejects(
    Engine.open({ rooot: dir } as object),
    (error) => error instanceof InvalidOptionError && /'root'/.test(error.hint ?? ''),
  )
  await writeFile(join(dir, 'text'), 'this is no tar file, but it is longer than nothing\n'.repeat(100))
  await assert.rejects(Image.import(join(dir, 'text'), { engine }), LayerError)
  await assert.rejects(Image.load(join(dir, 'text'), { engine }), LayerError)
  const tar = await packTar(await makeRootfs(dir), join(dir, 'rootfs.tar'))
  await assert.rejects(
    Image.load(tar, { engine }),
    (error) => error instanceof LayerError && /Image\.import/.test(error.hint ?? ''),
  )
  await engine.store.idle()
  assert.deepEqual(await readdir(join(engine.root, 'tmp')), [])
  await engine.close()
  await assert.rejects(
    Image.list({ engine }),
    (error) => error instanceof WherryError && error.code === 'ERR_ENGINE_CLOSED',
  )
})

test('a root directory without write permission is no obstacle', async (t) => {
  const dir = await tempDir(t)
  const rootfs = await makeRootfs(dir)
  await chmod(rootfs, 0o555)
  const tar = await packTar(rootfs, join(dir, 'rootfs.tar'))
  const engine = await openEngine(t, join(dir, 'root'))
  const image = await Image.import(tar, { engine })
  assert.ok(image.rootfs.kind === 'layers')
  assert.equal((await lstat(image.rootfs.layers[0]?.dir ?? '')).mode & 0o7777, 0o555)
  await image.remove()
  await engine.store.idle()
  assert.deepEqual(await readdir(join(engine.root, 'layers')), [])
  assert.deepEqual(await readdir(join(engine.root, 'tmp')), [])
  await chmod(rootfs, 0o755)
})

test('the host as an image has nothing in the store', async () => {
  const image = Image.host({ hide: ['/var/lib/x/'] })
  assert.deepEqual(image.rootfs, { kind: 'host', hide: ['/var/lib/x'] })
  assert.equal(image.id, 'host')
  await assert.rejects(image.tag('x'), ConflictError)
  assert.throws(() => Image.host({ hide: ['relative'] }), InvalidOptionError)
  assert.throws(() => Image.host({ hid: [] } as object), InvalidOptionError)
})

test('processes that add and remove images at once lose nothing of each other', async (t) => {
  const dir = await tempDir(t)
  const tar = await packTar(await makeRootfs(dir), join(dir, 'rootfs.tar'))
  const root = join(dir, 'root')
  const names = Array.from({ length: 3 }, (_value, child) => [`p${child}:a`, `p${child}:b`, `p${child}:c`])
  const engine = await openEngine(t, root)
  const children = Promise.all(names.map((own) => run(execPath, kChild, root, tar, ...own)))
  for (let count = 0; count < 5; count++) await (await Image.import(tar, { engine })).remove()
  await children
  for (const name of names.flat()) {
    const image = await Image.get(name, { engine })
    assert.ok(image.rootfs.kind === 'layers')
    assert.ok(existsSync(join(image.rootfs.layers[0]?.dir ?? '', 'bin/busybox')), name)
  }
  await engine.store.sweep()
  await engine.store.idle()
  // Two that were made in the same millisecond are one image with two names.
  const listed = (await Image.list({ engine })).flatMap(({ tags }) => tags)
  assert.equal(listed.length, 9)
  assert.deepEqual(await readdir(join(root, 'tmp')), [])
})

test('kill -9 in the middle of a load, then opening leaves nothing', async (t) => {
  const dir = await tempDir(t)
  const rootfs = await makeRootfs(dir)
  await mkdir(join(rootfs, 'many'))
  for (let count = 0; count < 300; count++) await writeFile(join(rootfs, 'many', `file-${count}`), 'x'.repeat(2000))
  const tar = await packTar(rootfs, join(dir, 'rootfs.tar'))
  const root = join(dir, 'root')
  for (const delayMs of [5, 20, 40, 80, 160]) {
    const child: ChildProcess = spawn(execPath, [kChild, root, tar], { stdio: ['ignore', 'pipe', 'inherit'] })
    assert.ok(child.stdout !== null)
    await once(child.stdout, 'data')
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    child.kill('SIGKILL')
    await once(child, 'exit')
    const engine = await Engine.open({ root })
    await engine.store.idle()
    const needed = new Set<string>()
    for (const image of await Image.list({ engine })) {
      for (const layer of image.layers) needed.add(digestHex(layer.diffId))
    }
    for (const name of readdirSync(join(root, 'layers'))) assert.ok(needed.has(name), `layer ${name} is left`)
    assert.deepEqual(await readdir(join(root, 'tmp')), [])
    assert.deepEqual((await readdir(join(root, 'sessions'))).length, 2)
    await engine.close()
  }
})

function makeValidator(dir: string): (schema: string, value: unknown) => void {
  const ajv = new Ajv({ strict: false, validateFormats: false })
  // Draft 4 marks a schema with `id`, and mixes in ids inside that are no addresses; files refer to each other by name.
  for (const name of readdirSync(dir)) {
    const text = readFileSync(join(dir, name), 'utf8')
    const schema = JSON.parse(text, (key, value: unknown) =>
      (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
    )
    ajv.addSchema(schema as object, name)
  }
  return (schema, value) => {
    assert.ok(ajv.validate(schema, value), `${schema}: ${ajv.errorsText()}`)
  }
}
