// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { importRootfs } from '../../../lib/image-archive/import.ts'
import { digestOf } from '../../../lib/oci/digest.ts'
import { kMediaType } from '../../../lib/oci/image-config.ts'
import { parsePlatform } from '../../../lib/oci/platform.ts'
import type { StoredImage } from '../../../lib/store/image-store.ts'
import { layerName } from '../../../lib/store/layout.ts'
import { Store } from '../../../lib/store/store.ts'
import { Unsynced } from '../../../lib/store/unsynced.ts'
import { checkLeftovers } from '../../helpers/leftovers.ts'
import { makeTar } from '../../helpers/make-tar.ts'
import { newRoot, openStore } from './open-root.ts'

checkLeftovers()

const kText = 'what the layer holds\n'

async function importSmall(store: Store, t: TestContext): Promise<StoredImage> {
  const tar = join(await newRoot(t), '..', 'rootfs.tar')
  writeFileSync(tar, makeTar([{ name: 'file', body: kText }]))
  const options = { platform: parsePlatform('linux/amd64'), config: {}, references: ['docker.io/library/a:1'] }
  return importRootfs(store, tar, { ...options, created: new Date(0), signal: undefined, onBytes: () => undefined })
}

function diffIdOf(image: StoredImage) {
  return image.config.rootfs.diff_ids[0] ?? assert.fail('no layer')
}

/** An image without layers. */
function makeBare(): { manifest: Buffer; config: Buffer } {
  const config = Buffer.from('{"rootfs":{"type":"layers"}}')
  const descriptor = { mediaType: kMediaType.config, digest: digestOf(config), size: config.length }
  return { config, manifest: Buffer.from(JSON.stringify({ schemaVersion: 2, config: descriptor, layers: [] })) }
}

/** Gives the marks of a root to an earlier boot, as a power cut does, and takes the layer's bytes away. */
function cutPower(root: string, image: StoredImage): void {
  const name = layerName(diffIdOf(image))
  const mark = { bootId: 'an earlier one', diffId: diffIdOf(image), digest: image.manifest.layers[0]?.digest }
  writeFileSync(join(root, 'unsynced', name), JSON.stringify(mark), { mode: 0o600 })
  truncateSync(join(root, 'layers', name, 'fs/file'), 0)
}

test('a layer is marked before it can be seen, and the mark goes once it is on the disk', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  const image = await importSmall(store, t)
  const name = layerName(diffIdOf(image))
  await store.idle()
  assert.deepEqual(readdirSync(join(root, 'unsynced')), [])
  assert.equal(readFileSync(join(root, 'layers', name, 'fs/file'), 'utf8'), kText)
  assert.deepEqual(await store.verify(), [])
})

test('several layers wait for one sync, after the last of them', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  await store.unsynced.during(async () => {
    const image = await importSmall(store, t)
    await store.idle()
    assert.deepEqual(readdirSync(join(root, 'unsynced')), [layerName(diffIdOf(image))])
  })
  await store.idle()
  assert.deepEqual(readdirSync(join(root, 'unsynced')), [])
})

test('a layer that is marked again while the disk is written keeps its mark', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  const image = await importSmall(store, t)
  await store.idle()
  const layer = { diffId: diffIdOf(image), digest: image.manifest.layers[0]?.digest ?? assert.fail() }
  let other: Unsynced | undefined
  const native = {
    ofdLock: () => true,
    // As another process would, that unpacks the layer anew.
    syncfsAsync: async () => {
      if (other !== undefined) await other.mark(layer)
      other = undefined
    },
  }
  const work: Promise<unknown>[] = []
  const parts = {
    layout: store.layout,
    session: store.session,
    native,
    inBackground: (each: Promise<unknown>) => work.push(each),
  }
  const ours = new Unsynced(parts)
  other = new Unsynced({ ...parts, inBackground: () => undefined })
  await ours.mark(layer)
  ours.syncSoon()
  await Promise.all(work)
  assert.deepEqual(readdirSync(join(root, 'unsynced')), [layerName(layer.diffId)])
})

test('what another process left unsynced is synced at the next opening', async (t) => {
  const root = await newRoot(t)
  const first = await openStore(t, root)
  const image = await importSmall(first, t)
  await first.idle()
  await first.unsynced.mark({ diffId: diffIdOf(image), digest: image.manifest.layers[0]?.digest ?? assert.fail() })
  const second = await openStore(t, root)
  await second.idle()
  assert.deepEqual(readdirSync(join(root, 'unsynced')), [])
  assert.equal((await second.images.list()).length, 1)
})

test('a layer that a power cut has damaged is unpacked again', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  const image = await importSmall(store, t)
  await store.close()
  cutPower(root, image)
  const again = await openStore(t, root)
  assert.equal(readFileSync(join(again.layers.path(diffIdOf(image)), 'file'), 'utf8'), kText)
  assert.equal((await again.images.get('a:1')).digest, image.digest)
  assert.deepEqual(await again.verify(), [])
  assert.deepEqual(readdirSync(join(root, 'unsynced')), [])
})

test('where the blob is damaged too, the image is gone, so that it can be had again', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  const image = await importSmall(store, t)
  await store.close()
  cutPower(root, image)
  truncateSync(store.blobs.path(image.manifest.layers[0]?.digest ?? assert.fail()), 0)
  const again = await openStore(t, root)
  await assert.rejects(again.images.get('a:1'), { code: 'ERR_NOT_FOUND' })
  assert.equal(await again.layers.has(diffIdOf(image)), false)
  assert.deepEqual(await again.verify(), [])
})

test('a mark without its layer, and one that is no mark, do no harm', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  const image = await importSmall(store, t)
  await store.close()
  cutPower(root, image)
  const other = 'a'.repeat(64)
  const mark = { bootId: 'an earlier one', diffId: `sha256:${other}`, digest: `sha256:${other}` }
  writeFileSync(join(root, 'unsynced', other), JSON.stringify(mark), { mode: 0o600 })
  writeFileSync(join(root, 'unsynced', 'b'.repeat(64)), 'nonsense', { mode: 0o600 })
  const again = await Store.open({ root, native: (await import('../../../lib/launcher/native.ts')).loadNative() })
  t.after(() => again.close())
  await again.idle()
  assert.equal(existsSync(join(root, 'unsynced', other)), false)
  assert.deepEqual(await again.verify(), [])
})

test('a layer whose restoring was killed half-way is unpacked at the next opening', async (t) => {
  for (const isStale of [true, false]) {
    const root = await newRoot(t)
    const store = await openStore(t, root)
    const image = await importSmall(store, t)
    await store.close()
    if (isStale) cutPower(root, image)
    else {
      // The mark of the new layer is written just before the layer gets its place.
      const marking = await openStore(t, root)
      const digest = image.manifest.layers[0]?.digest ?? assert.fail()
      await marking.unsynced.mark({ diffId: diffIdOf(image), digest })
      await marking.close()
    }
    rmSync(join(root, 'layers', layerName(diffIdOf(image))), { recursive: true })
    const again = await openStore(t, root)
    assert.equal(readFileSync(join(again.layers.path(diffIdOf(image)), 'file'), 'utf8'), kText)
    await again.idle()
    assert.deepEqual(await again.verify(), [])
    assert.deepEqual(readdirSync(join(root, 'unsynced')), [])
  }
})

test('a mark that names the blob of a pull which never ended costs no image its layer', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  const image = await importSmall(store, t)
  await store.close()
  cutPower(root, image)
  const mark = { bootId: 'an earlier one', diffId: diffIdOf(image), digest: `sha256:${'c'.repeat(64)}` }
  writeFileSync(join(root, 'unsynced', layerName(diffIdOf(image))), JSON.stringify(mark), { mode: 0o600 })
  const again = await openStore(t, root)
  assert.equal((await again.images.get('a:1')).digest, image.digest)
  assert.equal(readFileSync(join(again.layers.path(diffIdOf(image)), 'file'), 'utf8'), kText)
  assert.deepEqual(await again.verify(), [])
})

test('a manifest or configuration that is damaged on the disk keeps no other image from being listed', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  const image = await importSmall(store, t)
  const { manifest, config } = makeBare()
  const bare = await store.images.add({ manifest, config, mediaType: kMediaType.manifest, references: [] })
  await store.close()
  for (const digest of [bare.digest, image.id]) {
    truncateSync(store.blobs.path(digest), 0)
    const again = await openStore(t, root)
    assert.equal((await again.images.list()).length, digest === bare.digest ? 1 : 0)
    await again.close()
  }
})
