// SPDX-License-Identifier: MIT
// Other programs read the store's oci/ folder directly, and unpack the same files from it.
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Image } from '../../lib/image.ts'
import { digestOf, parseDigest } from '../../lib/oci/digest.ts'
import { kMediaType } from '../../lib/oci/image-config.ts'
import { needs } from '../helpers/needs.ts'
import { podmanIn } from '../helpers/podman.ts'
import { describeTree } from '../helpers/rich-tree.ts'
import { first, makeOciLayout, openEngine, run, skopeoInspect, tempDir } from './image-fixtures.ts'

/** A root file system with everything that a layer can hold, made by the system's own tools. @returns its tar. */
async function makeRichTar(dir: string): Promise<string> {
  const script = `
    mkdir -p "$1"/d/deep "$1"/dev "$1"/sticky && cd "$1"
    echo content > d/file; ln d/file d/hard; ln d/file hard2; ln -s ../d/file d/soft; ln -s /absolute abs
    truncate -s 3M d/sparse; printf middle | dd of=d/sparse bs=1 seek=1500000 conv=notrunc status=none
    printf 'x' > "$(printf 'odd\\377name')"; mkfifo d/fifo; mknod dev/null0 c 1 3; mknod dev/loop b 7 1
    chown 1000:2000 d/file; chmod 4755 d/deep; chmod 1777 sticky; chown 5:6 -h d/soft
    setfattr -n user.demo -v value d/file; setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= d/sparse || true
    touch -d '2001-02-03 04:05:06.789012345' d/sparse d/deep; touch -h -d '1999-01-01' d/soft; touch -d @1 .`
  await mkdir(join(dir, 'rich'))
  await run('sh', '-ec', script, 'sh', join(dir, 'rich'))
  const tar = join(dir, 'rich.tar')
  const options = ['--format=posix', '--sparse', '--xattrs', '--xattrs-include=*', '--numeric-owner']
  await run('tar', ...options, '-C', join(dir, 'rich'), '-cf', tar, '.')
  return tar
}

/** What the store itself needs of a layer's directories, as containers see none of it. */
const kOverlayMarks = /^(?:user\.overlay|trusted)\./

test('umoci unpacks from the store the tree that the store has unpacked', async (t) => {
  if (!needs(t, 'root', 'command:umoci', 'command:setfattr')) return
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const image = await Image.import(await makeRichTar(dir), { engine, reference: 'rich:1' })
  // umoci takes no name with slashes, so it gets a copy of the list with another one.
  await run('cp', '-a', join(engine.root, 'oci'), join(dir, 'copy'))
  const path = join(dir, 'copy/index.json')
  await writeFile(path, (await readFile(path, 'utf8')).replaceAll('docker.io/library/rich:1', 'rich'))
  await run('umoci', 'raw', 'unpack', '--image', `${join(dir, 'copy')}:rich`, join(dir, 'unpacked'))
  assert.ok(image.rootfs.kind === 'layers')
  const ours = first(image.rootfs.layers).dir
  const tree = describeTree(ours, { withoutXattrs: kOverlayMarks })
  assert.equal(tree, describeTree(join(dir, 'unpacked'), { withoutXattrs: kOverlayMarks }))
  for (const part of ['user.demo', 'd/fifo p', 'security.capability', 'd/hard f 644 1000:2000 3']) {
    assert.ok(tree.includes(part), `${part} is not in ${tree}`)
  }
  const blocks = Number(await run('stat', '-c', '%b', join(ours, 'd/sparse')))
  assert.ok(blocks * 512 < 1_000_000, `${blocks} blocks of a sparse file`)
})

test('skopeo and podman take images from the store', async (t) => {
  if (!needs(t, 'root', 'command:umoci', 'command:skopeo', 'command:podman')) return
  const dir = await tempDir(t)
  // Podman makes a name of the path, which must be in lower case then.
  const root = join(tmpdir(), `wherry-peers-${process.pid}`)
  t.after(() => rm(root, { recursive: true, force: true }))
  const engine = await openEngine(t, root)
  const image = first(await Image.load(await makeOciLayout(dir), { engine }))
  await image.tag('demo/app:1')
  const source = `oci:${engine.root}/oci:docker.io/demo/app:1`
  assert.equal((await skopeoInspect(source)).Digest, image.digest)
  await run('skopeo', 'copy', source, `dir:${join(dir, 'copied')}`)
  assert.equal(digestOf(await readFile(join(dir, 'copied/manifest.json'))), image.digest)
  const id = await podmanIn(dir)('pull', '--quiet', source)
  assert.equal(`sha256:${id.trim()}`, image.id)
  assert.deepEqual((await engine.verify()).faults, [])
})

/** An OCI layout with `multi/app:1` for amd64 and arm64, and with an entry for s390x that is not there where `absent` says so. */
async function makeIndexLayout(dir: string, absent: boolean) {
  const layout = await makeOciLayout(dir)
  const listed = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] }
  const amd64 = first(listed.manifests)
  const read = async (digest: string): Promise<Buffer> => readFile(blobPath(layout, digest))
  const write = async (value: object) => {
    const bytes = Buffer.from(JSON.stringify(value))
    await writeFile(blobPath(layout, digestOf(bytes)), bytes)
    return { digest: digestOf(bytes), size: bytes.byteLength }
  }
  const manifest = JSON.parse((await read(amd64.digest)).toString()) as { config: { digest: string }; layers: object[] }
  const config = JSON.parse((await read(manifest.config.digest)).toString()) as object
  const armConfig = { ...manifest.config, ...(await write({ ...config, architecture: 'arm64' })) }
  const mediaType = kMediaType.manifest
  const arm64 = { mediaType, ...(await write({ ...manifest, config: armConfig })) }
  const s390x = { mediaType, digest: `sha256:${'e'.repeat(64)}`, size: 7 }
  const manifests = [
    { ...amd64, annotations: {}, platform: { os: 'linux', architecture: 'amd64' } },
    { ...arm64, platform: { os: 'linux', architecture: 'arm64' } },
    ...(absent ? [{ ...s390x, platform: { os: 'linux', architecture: 's390x' } }] : []),
  ]
  const index = await write({ schemaVersion: 2, mediaType: kMediaType.index, manifests })
  const annotations = { 'org.opencontainers.image.ref.name': 'multi/app:1' }
  const top = { schemaVersion: 2, manifests: [{ mediaType: kMediaType.index, ...index, annotations }] }
  await writeFile(join(layout, 'index.json'), JSON.stringify(top))
  return { layout, amd64, arm64, armConfig, index }
}

test('an index for several platforms is kept whole, and goes with the image', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo')) return
  const dir = await tempDir(t)
  const { layout, amd64, arm64, armConfig, index } = await makeIndexLayout(dir, true)
  const engine = await openEngine(t, join(dir, 'root'))
  const has = async (digest: string) => (await engine.store.blobs.size(parseDigest(digest))) !== undefined
  const one = first(await Image.load(layout, { engine, platform: 'linux/amd64' }))
  assert.equal(one.digest, amd64.digest)
  assert.deepEqual([await has(index.digest), await has(arm64.digest)], [true, false])
  const all = first(await Image.load(layout, { engine, platform: 'linux/amd64', allPlatforms: true }))
  assert.equal(all.digest, amd64.digest)
  assert.deepEqual([await has(arm64.digest), await has(armConfig.digest)], [true, true])
  await engine.store.sweep()
  assert.deepEqual([await has(arm64.digest), await has(armConfig.digest)], [true, true])
  assert.equal((await Image.get(`multi/app@${index.digest}`, { engine })).digest, amd64.digest)
  assert.deepEqual((await engine.verify()).faults, [])
  const arm = first(await Image.load(layout, { engine, platform: 'linux/arm64', allPlatforms: true }))
  assert.deepEqual(arm.tags, ['docker.io/multi/app:1'])
  await Image.remove(arm.id, { engine })
  await Image.remove(all.id, { engine })
  await engine.store.idle()
  assert.deepEqual(await readdir(join(engine.root, 'oci/blobs/sha256')), [])
  assert.deepEqual((await engine.verify()).faults, [])
})

test('an image is saved for all platforms, as skopeo copies all of it', async (t) => {
  if (!needs(t, 'command:umoci', 'command:skopeo')) return
  const dir = await tempDir(t)
  const { layout, amd64, arm64, index } = await makeIndexLayout(dir, false)
  const engine = await openEngine(t, join(dir, 'root'))
  const partly = first(await Image.load(layout, { engine, platform: 'linux/amd64' }))
  const saved = join(dir, 'saved')
  const format = 'oci-dir'
  await assert.rejects(partly.save(saved, { format, allPlatforms: true }), {
    code: 'ERR_NOT_FOUND',
    message: `Manifest ${arm64.digest} of another platform is not in the store. Hint: pull or load it with allPlatforms: true, or save without allPlatforms`,
  })
  const image = first(await Image.load(layout, { engine, platform: 'linux/amd64', allPlatforms: true }))
  await image.save(saved, { format, allPlatforms: true })
  await image.save(join(dir, 'saved.tar'), { allPlatforms: true })
  for (const source of [`oci:${saved}`, `oci-archive:${join(dir, 'saved.tar')}`]) {
    const name = `${source}:docker.io/multi/app:1`
    assert.equal(digestOf(await run('skopeo', 'inspect', '--raw', name)), index.digest)
    const copy = join(dir, `copy-of-${source.split(':')[0]}`)
    await run('skopeo', 'copy', '--quiet', '--all', name, `oci:${copy}:all`)
    // Two layers, two configurations, two manifests, the index.
    assert.equal((await readdir(join(copy, 'blobs/sha256'))).length, 7)
  }
  const other = await openEngine(t, join(dir, 'other'))
  for (const [platform, manifest] of [
    ['linux/arm64', arm64],
    ['linux/amd64', amd64],
  ] as const) {
    const [loaded] = await Image.load(join(dir, 'saved.tar'), { engine: other, platform, allPlatforms: true })
    assert.equal(loaded?.digest, manifest.digest)
    assert.deepEqual(loaded?.tags, ['docker.io/multi/app:1'])
  }
  // The same index once, whichever of its images is saved.
  const both = await Promise.all([amd64, arm64].map(({ digest }) => Image.get(digest, { engine: other })))
  await Image.save(both, join(dir, 'both'), { format, allPlatforms: true })
  assert.deepEqual(
    (await readdir(join(dir, 'both/blobs/sha256'))).sort(),
    (await readdir(join(saved, 'blobs/sha256'))).sort(),
  )
  assert.deepEqual((await other.verify()).faults, [])
})

test('an image that came without an index is saved alone; what has no place for one is refused', async (t) => {
  if (!needs(t, 'command:umoci')) return
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  const image = first(await Image.load(await makeOciLayout(dir), { engine }))
  const [one, two] = [join(dir, 'one.tar'), join(dir, 'two.tar')]
  await image.save(one)
  await image.save(two, { allPlatforms: true })
  assert.deepEqual(await readFile(one), await readFile(two))
  await assert.rejects(image.save(one, { allPlatforms: true, format: 'docker' }), { option: 'allPlatforms' })
  await assert.rejects(image.save(one, { allPlatforms: true, compression: 'gzip' }), { option: 'compression' })
})

function blobPath(layout: string, digest: string): string {
  return join(layout, 'blobs', digest.replace(':', '/'))
}
