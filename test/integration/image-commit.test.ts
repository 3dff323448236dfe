// SPDX-License-Identifier: MIT
// Layers that wherry packs, and images that it makes of them, in the hands of other programs.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Container } from '../../lib/container.ts'
import type { Engine } from '../../lib/engine.ts'
import { LayerError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { type CommitOptions, commitImage } from '../../lib/image-archive/commit.ts'
import { packLayer, packStream } from '../../lib/layer/pack-layer.ts'
import { needs } from '../helpers/needs.ts'
import { podmanIn, podmanStorage } from '../helpers/podman.ts'
import { describeTree, makeRichTree } from '../helpers/rich-tree.ts'
import { makeRootfs, openEngine, packTar, run, skopeoInspect, tempDir } from './image-fixtures.ts'
import { needsContainers } from './rootfs.ts'

const kCreated = new Date('2024-05-06T07:08:09Z')
const kPeers = ['command:skopeo', 'command:umoci', 'command:podman', 'command:buildah', 'command:setfattr'] as const
const kName = 'docker.io/library/child:1'

/** An image with busybox, and the upper directory that a container of it could have left. */
async function makeParent(
  t: TestContext,
  root?: string,
): Promise<{ dir: string; engine: Engine; parent: Image; upper: string }> {
  const dir = await tempDir(t)
  const engine = await openEngine(t, root ?? join(dir, 'root'))
  const rootfs = await makeRootfs(dir)
  await writeFile(join(rootfs, 'etc/gone'), 'to be deleted')
  await mkdir(join(rootfs, 'srv/old'), { recursive: true })
  const config = { Cmd: ['/bin/sh'], Env: ['A=parent', 'B=parent'], WorkingDir: '/srv' }
  const parent = await Image.import(await packTar(rootfs, join(dir, 'tar')), { engine, config, reference: 'parent:1' })
  const upper = join(dir, 'upper')
  const script = `
    mkdir -p "$1/etc" "$1/srv/new" "$1/srv/old" && cd "$1"
    echo new > srv/new/file; ln srv/new/file srv/new/hard; chown 5:6 srv/new/file; chmod 2755 srv/new; : > srv/old/only
    mknod etc/gone c 0 0; setfattr -n user.overlay.opaque -v y srv/old; setfattr -n user.mine -v 1 srv/new
    touch -d '2020-01-02 03:04:05.678901234' srv/new/file etc; printf x > "$(printf 'odd\\377')"; ln -s new srv/link`
  await run('sh', '-ec', script, 'sh', upper)
  return { dir, engine, parent, upper }
}

async function commit(engine: Engine, parent: Image, options: Partial<CommitOptions>) {
  const stored = await engine.store.images.get(parent.id)
  const platform = { os: 'linux', architecture: 'amd64' }
  return commitImage(engine.store, { parent: stored, platform, references: [kName], created: kCreated, ...options })
}

/** A tree's description, without the times and modes of what hides others. */
function withoutWhiteouts(dir: string): string {
  return describeTree(dir).replace(/^.* c \d+ 0:0 .*$/gm, 'a whiteout')
}

async function verify(engine: Engine): Promise<void> {
  await engine.store.idle()
  assert.deepEqual(await engine.store.verify(), [])
  assert.deepEqual(await readdir(join(engine.root, 'tmp')), [])
}

test('GNU tar lists and extracts a packed tree as it was', async (t) => {
  if (!needs(t, 'root', 'command:setfattr')) return
  const dir = await tempDir(t)
  makeRichTree(join(dir, 'tree'))
  await mkdir(join(dir, 'tree', 'x'.repeat(150), 'y'.repeat(200)), { recursive: true })
  await packLayer(join(dir, 'tree'), join(dir, 'blob'))
  await mkdir(join(dir, 'gnu'))
  await run('tar', '--xattrs', '--xattrs-include=*', '-xpzf', join(dir, 'blob'), '-C', join(dir, 'gnu'))
  assert.equal(describeTree(join(dir, 'gnu')), describeTree(join(dir, 'tree')))
  const listed = (await run('tar', '--quoting-style=escape', '-tzf', join(dir, 'blob'))).split('\n').slice(0, -1)
  assert.equal(listed.length, Number(await run('sh', '-c', 'find "$1" | wc -l', 'sh', join(dir, 'tree'))))
})

test('bsdtar extracts a packed tree as it was', async (t) => {
  if (!needs(t, 'root', 'command:setfattr', 'command:bsdtar')) return
  const dir = await tempDir(t)
  makeRichTree(join(dir, 'tree'))
  await run('setfattr', '-n', 'user.with=equals', '-v', 'x', join(dir, 'tree/a/file'))
  // It misreads fractions before the epoch, and leaves the time of the directory that it is in.
  await run('touch', '-h', '-d', '@7.5', join(dir, 'tree/dangling'))
  await packLayer(join(dir, 'tree'), join(dir, 'blob'))
  await mkdir(join(dir, 'bsd'))
  await run('bsdtar', '-xpf', join(dir, 'blob'), '--xattrs', '--acls', '-C', join(dir, 'bsd'))
  await run('touch', '-r', join(dir, 'tree'), join(dir, 'bsd'))
  assert.equal(describeTree(join(dir, 'bsd')), describeTree(join(dir, 'tree')))
})

test('a committed image runs here and in buildah, and podman, skopeo and umoci read it', async (t) => {
  if (!needsContainers(t) || !needs(t, ...kPeers)) return
  // Podman makes a name of the path, which must be in lower case then.
  const root = join(tmpdir(), `wherry-commit-${process.pid}`)
  t.after(() => rm(root, { recursive: true, force: true }))
  const { dir, engine, parent, upper } = await makeParent(t, root)
  const config = { Env: ['A=child'] }
  const { image, packed } = await commit(engine, parent, { layer: { directory: upper }, config, createdBy: 'a test' })
  const script = 'busybox cat /srv/new/file; busybox ls /srv/old; busybox test ! -e /etc/gone; echo $A'
  const command = ['/bin/busybox', 'sh', '-ec', script]
  const inside = await Container.run(await Image.get(kName, { engine }), command, { engine })
  assert.equal(inside.stdout, 'new\nonly\nchild\n')
  const source = `oci:${engine.root}/oci:${kName}`
  assert.equal((await skopeoInspect(source)).Digest, image.digest)
  assert.equal(`sha256:${(await podmanIn(dir)('pull', '--quiet', source)).trim()}`, image.id)
  // Podman's own runtime refuses hosts with both kinds of cgroups; buildah runs without any, on the same storage.
  const buildah = (...args: string[]) => run('buildah', ...podmanStorage(dir), ...args)
  const container = (await buildah('from', '--pull-never', image.id.slice(7))).trim()
  assert.equal(await buildah('run', '--isolation', 'chroot', container, '--', ...command), inside.stdout)
  await run('cp', '-a', join(engine.root, 'oci'), join(dir, 'copy'))
  const path = join(dir, 'copy/index.json')
  await writeFile(path, (await readFile(path, 'utf8')).replaceAll(kName, 'child'))
  await run('umoci', 'raw', 'unpack', '--image', `${join(dir, 'copy')}:child`, join(dir, 'unpacked'))
  assert.ok(!existsSync(join(dir, 'unpacked/etc/gone')))
  assert.deepEqual(await readdir(join(dir, 'unpacked/srv/old')), ['only'])
  const file = await stat(join(dir, 'unpacked/srv/new/file'))
  assert.deepEqual([file.uid, file.gid, file.nlink, file.mtimeMs], [5, 6, 2, 1577934245678.9011])
  assert.equal(packed?.entries, 12)
  await verify(engine)
})

test('the same tree gives the same image, and a taken directory is the layer that unpacking gives', async (t) => {
  if (!needs(t, 'root', 'command:setfattr')) return
  const { dir, engine, parent, upper } = await makeParent(t)
  await run('cp', '-a', upper, join(engine.root, 'tmp/taken'))
  const taken = await commit(engine, parent, { layer: { directory: join(engine.root, 'tmp/taken'), take: true } })
  assert.ok(!existsSync(join(engine.root, 'tmp/taken')))
  const layer = engine.store.layers.path(taken.image.config.rootfs.diff_ids[1] as never)
  const moved = withoutWhiteouts(layer)
  const other = await openEngine(t, join(dir, 'other'))
  const same = await Image.import(join(dir, 'tar'), { engine: other, config: parent.config, created: kCreated })
  const again = await commit(other, same, { layer: { directory: upper } })
  assert.equal(again.packed?.diffId, taken.packed?.diffId)
  assert.equal(again.packed?.digest, taken.packed?.digest)
  assert.equal(withoutWhiteouts(other.store.layers.path(again.image.config.rootfs.diff_ids[1] as never)), moved)
  assert.deepEqual(
    await engine.store.layers.info(again.packed?.diffId as never),
    await other.store.layers.info(again.packed?.diffId as never),
  )
  await verify(engine)
  await verify(other)
})

test('history and configuration grow; a change of the configuration alone has no layer', async (t) => {
  if (!needs(t, 'root', 'command:setfattr')) return
  const { engine, parent, upper } = await makeParent(t)
  const first = await commit(engine, parent, {
    layer: { directory: upper, compression: 'none' },
    createdBy: 'one',
    author: 'me',
  })
  assert.deepEqual(
    first.image.manifest.layers.map(({ mediaType }) => mediaType.replace(/.*\./, '')),
    ['tar', 'tar'],
  )
  const stored = await engine.store.images.get(kName)
  const change = { parent: stored, config: { User: '5' }, references: [], comment: 'two' }
  const second = await commit(engine, parent, change)
  assert.deepEqual(second.image.config.rootfs, first.image.config.rootfs)
  assert.deepEqual(second.image.config.config, { ...parent.config, User: '5' })
  assert.equal(second.image.config.author, 'me')
  const created = kCreated.toISOString()
  assert.deepEqual(second.image.config.history.slice(1), [
    { created, created_by: 'one', author: 'me' },
    { created, comment: 'two', empty_layer: true },
  ])
  const base = await commit(engine, parent, { parent: undefined, layer: { directory: upper }, references: [] })
  assert.equal(base.image.config.rootfs.diff_ids.length, 1)
  await verify(engine)
})

test('a commit that fails or is aborted leaves nothing', async (t) => {
  if (!needs(t, 'root', 'command:setfattr')) return
  const { engine, parent, upper } = await makeParent(t)
  const before = await readdir(join(engine.root, 'oci/blobs/sha256'))
  await writeFile(join(upper, 'zeros'), '')
  await truncate(join(upper, 'zeros'), 3_000_000_000)
  const controller = new AbortController()
  const committing = commit(engine, parent, { layer: { directory: upper }, signal: controller.signal })
  const reason = new Error('enough')
  setTimeout(() => controller.abort(reason), 50)
  await assert.rejects(committing, (error) => error === reason)
  await rm(join(upper, 'zeros'))
  await writeFile(join(upper, '.wh.x'), '')
  await assert.rejects(commit(engine, parent, { layer: { directory: upper } }), LayerError)
  await verify(engine)
  assert.deepEqual(await readdir(join(engine.root, 'oci/blobs/sha256')), before)
  assert.equal((await Image.list({ engine })).length, 1)
})

test('a large file takes no memory', async (t) => {
  const dir = await tempDir(t)
  await mkdir(join(dir, 'tree'))
  await writeFile(join(dir, 'tree/large'), '')
  await truncate(join(dir, 'tree/large'), 600_000_000)
  await run('touch', '-d', '@1', join(dir, 'tree/large'), join(dir, 'tree'))
  const before = process.memoryUsage().rss
  let most = before
  let bytes = 0
  for await (const chunk of packStream(join(dir, 'tree'), { compression: 'none' })) {
    bytes += (chunk as Buffer).length
    most = Math.max(most, process.memoryUsage().rss)
  }
  assert.equal(bytes, 600_000_000 + 4 * 512)
  assert.ok(most - before < 200_000_000, `${most - before} bytes more`)
})
