// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { test } from 'node:test'
import { ConflictError, InvalidOptionError, UnsupportedHostError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { needs } from '../helpers/needs.ts'
import { podmanIn } from '../helpers/podman.ts'
import { first, makeOciLayout, openEngine, packTar, run, skopeoInspect, tempDir } from './image-fixtures.ts'

async function loaded(t: Parameters<typeof tempDir>[0]) {
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const image = first(await Image.load(await makeOciLayout(dir), { engine }))
  await image.tag('demo/app:1')
  return { dir, engine, image }
}

test('saves an OCI archive that skopeo and wherry read as the same image, byte for byte the same each time', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo')) return
  const { dir, engine, image } = await loaded(t)
  const [one, two] = [join(dir, 'one.tar'), join(dir, 'two.tar')]
  await image.save(one)
  await image.save(two, { format: 'oci' })
  assert.ok((await readFile(one)).equals(await readFile(two)))
  const seen = await skopeoInspect(`oci-archive:${one}:docker.io/demo/app:1`)
  assert.equal(seen.Digest, image.digest)
  await run('skopeo', 'copy', `oci-archive:${one}`, `dir:${join(dir, 'copied')}`)
  const other = await openEngine(t, join(dir, 'other'))
  const again = first(await Image.load(one, { engine: other }))
  assert.deepEqual([again.digest, again.tags], [image.digest, image.tags])
  assert.deepEqual((await engine.verify()).faults, [])
  assert.deepEqual((await other.verify()).faults, [])
  // The system's tar reads it without a word.
  assert.match(await run('tar', '-tf', one), /^blobs\/\nblobs\/sha256\/\n/)
})

test('saves a docker-archive for skopeo, podman and Docker before manifest.json', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo')) return
  const { dir, image } = await loaded(t)
  await image.tag('localhost:5000/x/y:z')
  const [tar, again] = [join(dir, 'docker.tar'), join(dir, 'again.tar')]
  await image.save(tar, { format: 'docker' })
  await image.save(again, { format: 'docker', compression: 'none' })
  assert.ok((await readFile(tar)).equals(await readFile(again)))
  const raw = await run('skopeo', 'inspect', '--raw', '--config', `docker-archive:${tar}:demo/app:1`)
  assert.deepEqual(
    JSON.parse(raw).rootfs.diff_ids,
    image.layers.map((layer) => layer.diffId),
  )
  const other = await openEngine(t, join(dir, 'other'))
  const seen = first(await Image.load(tar, { engine: other }))
  assert.deepEqual([seen.id, [...seen.tags].sort()], [image.id, [...image.tags].sort()])
  // As an old Docker: without manifest.json, the chain of legacy layers leads to the same files.
  await mkdir(join(dir, 'old'))
  await run('tar', '-C', join(dir, 'old'), '-xf', tar)
  await run('rm', join(dir, 'old/manifest.json'))
  const old = await openEngine(t, join(dir, 'old-root'))
  const legacy = first(await Image.load(await packTar(join(dir, 'old'), join(dir, 'old.tar')), { engine: old }))
  assert.deepEqual(
    legacy.layers.map((layer) => layer.diffId),
    image.layers.map((layer) => layer.diffId),
  )
  assert.deepEqual(legacy.config.Env, image.config.Env)
})

test('podman loads both archives, with all names', async (t) => {
  if (!needs(t, 'root', 'command:umoci', 'command:podman', 'command:skopeo')) return
  const { dir, image } = await loaded(t)
  await image.tag('other/name:2')
  const names = ['docker.io/demo/app:1', 'docker.io/other/name:2']
  const podman = podmanIn(dir)
  for (const format of ['oci', 'docker'] as const) {
    const tar = join(dir, `${format}.tar`)
    await image.save(tar, { format })
    await podman('load', '-i', tar)
    for (const name of names) {
      const id = await podman('image', 'inspect', '--format', '{{.Id}}', name)
      assert.equal(`sha256:${id.trim()}`, image.id, `${format} ${name}`)
      const layers = (await skopeoInspect(`${format}-archive:${tar}:${name}`)).Layers
      assert.equal(layers.length, image.layers.length)
    }
    await podman('rmi', ...names)
  }
})

test('an OCI archive is one of docker save too, for who knows only that', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo', 'command:tar')) return
  const { dir, image } = await loaded(t)
  await image.tag('other/name:2')
  for (const compression of [undefined, 'none'] as const) {
    const tar = join(dir, 'both.tar')
    await image.save(tar, { compression })
    assert.equal(
      (await skopeoInspect(`docker-archive:${tar}:docker.io/other/name:2`)).Layers.length,
      image.layers.length,
    )
    // Without the files of a layout it is an archive as before Docker 25.
    const files = join(dir, `files-${compression}`)
    await mkdir(files)
    await run('tar', '-xf', tar, '-C', files)
    for (const name of ['oci-layout', 'index.json']) await rm(join(files, name))
    await packTar(files, tar)
    const other = await openEngine(t, join(dir, `other-${compression}`))
    const again = first(await Image.load(tar, { engine: other }))
    assert.equal(again.id, image.id)
    assert.deepEqual([...again.tags].sort(), ['docker.io/demo/app:1', 'docker.io/other/name:2'])
  }
})

test('saves some of the names', async (t) => {
  if (!needs(t, 'root', 'command:umoci', 'command:podman')) return
  const { dir, image } = await loaded(t)
  await image.tag('other/name:2')
  const tar = join(dir, 'one.tar')
  await image.save(tar, { tags: ['demo/app:1'] })
  await podmanIn(dir)('load', '-i', tar)
  const other = await openEngine(t, join(dir, 'other'))
  assert.deepEqual(first(await Image.load(tar, { engine: other })).tags, ['docker.io/demo/app:1'])
  await image.save(tar, { tags: [], format: 'docker' })
  const third = await openEngine(t, join(dir, 'third'))
  assert.deepEqual(first(await Image.load(tar, { engine: third })).tags, [])
  await assert.rejects(image.save(tar, { tags: ['demo/app:3'] }), /None of the images .* docker\.io\/demo\/app:3/)
  await assert.rejects(image.save(tar, { tags: 'demo/app:1' as unknown as [] }), InvalidOptionError)
})

test('saves a folder, and several images with what they share once', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo')) return
  const { dir, engine, image } = await loaded(t)
  const tar = await packTar(join(dir, 'srv'), join(dir, 'srv.tar'))
  const [a, b] = [await Image.import(tar, { engine }), await Image.import(tar, { engine, config: { Cmd: ['x'] } })]
  const folder = join(dir, 'folder')
  await Image.save([image, a, b], folder, { format: 'oci-dir' })
  assert.equal((await skopeoInspect(`oci:${folder}:docker.io/demo/app:1`)).Digest, image.digest)
  // Two layers and one that both have, three configurations, three manifests.
  assert.equal((await readdir(join(folder, 'blobs/sha256'))).length, 9)
  const other = await openEngine(t, join(dir, 'other'))
  const ids = (await Image.load(folder, { engine: other })).map((each) => each.id)
  assert.deepEqual(ids, [image.id, a.id, b.id])
  await assert.rejects(image.save(folder, { format: 'oci-dir' }), ConflictError)
  await assert.rejects(image.save(folder), ConflictError)
  assert.deepEqual(
    (await readdir(dir)).filter((name) => name.startsWith('.')),
    [],
  )
})

test('packs layers another way; the id stays', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo')) return
  const { dir, image } = await loaded(t)
  for (const compression of ['none', 'gzip', 'zstd'] as const) {
    const [tar, again] = [join(dir, `${compression}.tar`), join(dir, `${compression}2.tar`)]
    const saved = image.save(tar, { compression })
    if (compression === 'zstd' && !('createZstdCompress' in (await import('node:zlib')))) {
      await assert.rejects(saved, UnsupportedHostError)
      continue
    }
    await saved
    await image.save(again, { compression })
    assert.ok((await readFile(tar)).equals(await readFile(again)), compression)
    const engine = await openEngine(t, join(dir, `root-${compression}`))
    const seen = first(await Image.load(tar, { engine }))
    assert.equal(seen.id, image.id)
    const suffix = { none: 'tar', gzip: 'tar+gzip', zstd: 'tar+zstd' }[compression]
    assert.ok(
      seen.layers.every(({ mediaType }) => mediaType.endsWith(suffix)),
      compression,
    )
    assert.equal((await skopeoInspect(`oci-archive:${tar}:docker.io/demo/app:1`)).Digest, seen.digest)
    assert.deepEqual((await engine.verify()).faults, [])
  }
})

test('a stream gets the archive, or the error; a path keeps what it had', async (t) => {
  if (!needs(t, 'command:umoci')) return
  const { dir, engine, image } = await loaded(t)
  const path = join(dir, 'image.tar')
  await image.save(path)
  const chunks: Buffer[] = []
  const stream = new PassThrough().on('data', (chunk: Buffer) => chunks.push(chunk))
  const phases: string[] = []
  await image.save(stream, { onProgress: ({ phase }) => phases.push(phase) })
  assert.ok(Buffer.concat(chunks).equals(await readFile(path)))
  assert.deepEqual([phases[0], phases.at(-1)], ['writing', 'done'])
  const full = new Writable({ write: (_chunk, _encoding, done) => done(new Error('the pipe is shut')) })
  await assert.rejects(image.save(full), /the pipe is shut/)
  assert.ok(full.destroyed)
  await writeFile(path, 'precious')
  const stop = new AbortController()
  const reason = new Error('enough')
  const onProgress = (): void => stop.abort(reason)
  await assert.rejects(image.save(path, { signal: stop.signal, onProgress }), reason)
  assert.equal(await readFile(path, 'utf8'), 'precious')
  assert.deepEqual(
    (await readdir(dir)).filter((name) => name.startsWith('.')),
    [],
  )
  await assert.rejects(image.save(path, { format: 'zip' as 'oci' }), InvalidOptionError)
  await assert.rejects(image.save(path, { format: 'docker', compression: 'gzip' }), InvalidOptionError)
  await assert.rejects(image.save('', {}), InvalidOptionError)
  await assert.rejects(image.save(join(dir, 'no/such/dir')), { code: 'ENOENT', name: 'SyscallError' })
  await assert.rejects(Image.host().save(path), ConflictError)
  assert.deepEqual((await engine.verify()).faults, [])
  assert.ok((await stat(path)).isFile())
})
