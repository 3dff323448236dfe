// SPDX-License-Identifier: MIT
// The list of images stays readable whatever comes into it, and what an index names is looked at once.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { ConflictError } from '../../../lib/errors.ts'
import { digestOf } from '../../../lib/oci/digest.ts'
import { kMaxListed, kMaxManifestBytes, kMediaType } from '../../../lib/oci/image-config.ts'
import type { NewImage } from '../../../lib/store/image-store.ts'
import { newRoot, openStore } from './open-root.ts'

function imageOf(references: readonly string[], index?: (digest: string, size: number) => object[]): NewImage {
  const config = Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers' } }))
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: kMediaType.config, digest: digestOf(config), size: config.length },
      layers: [],
    }),
  )
  const manifests = index?.(digestOf(manifest), manifest.length)
  const document = manifests === undefined ? undefined : Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }))
  return { manifest, mediaType: kMediaType.manifest, config, references, index: document }
}

function tags(count: number): string[] {
  return Array.from({ length: count }, (_, number) => `docker.io/some-organisation/some-repository:v1.2.${number}`)
}

test('keeps ten thousand tags', async (t) => {
  const store = await openStore(t, await newRoot(t))
  await store.images.add(imageOf(tags(10_000)))
  assert.ok((await readFile(store.layout.index)).length > kMaxManifestBytes)
  assert.equal((await store.images.list())[0]?.references.length, 10_000)
  assert.deepEqual(await store.verify(), [])
  await store.images.removeByName('some-organisation/some-repository:v1.2.7', false)
  assert.equal((await store.images.list())[0]?.references.length, 9_999)
})

test('refuses the tag for which the list has no room, and stays as it was', async (t) => {
  const store = await openStore(t, await newRoot(t))
  await store.images.add(imageOf(['docker.io/library/first:1']))
  await assert.rejects(store.images.add(imageOf(tags(kMaxListed + 1))), ConflictError)
  assert.deepEqual((await store.images.list())[0]?.references, ['docker.io/library/first:1'])
})

test('reads a manifest once however often an index names it', async (t) => {
  const store = await openStore(t, await newRoot(t))
  const image = imageOf(['docker.io/library/app:1'], (digest, size) =>
    Array.from({ length: 500 }, () => ({ digest, size })),
  )
  await store.images.add(image)
  const { blobs } = store
  const read = blobs.read.bind(blobs)
  let reads = 0
  blobs.read = (digest, maxBytes) => {
    reads++
    return read(digest, maxBytes)
  }
  assert.equal((await store.sweep()).blobs, 0)
  assert.ok(reads <= 4, `${reads} reads of three blobs by a sweep`)
  reads = 0
  await store.diskUsage(new Set())
  assert.ok(reads <= 8, `${reads} reads by a count of what is there`)
  reads = 0
  assert.deepEqual(await store.verify(), [])
  assert.ok(reads <= 8, `${reads} reads by a verification`)
})
