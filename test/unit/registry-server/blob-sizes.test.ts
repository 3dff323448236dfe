// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Digest, digestOf } from '../../../lib/oci/digest.ts'
import { BlobSizes } from '../../../lib/registry-server/blob-sizes.ts'
import { parseManifestContent } from '../../../lib/registry-server/manifest-content.ts'
import { Manifests, type StoredManifest } from '../../../lib/registry-server/manifests.ts'
import { Storage } from '../../../lib/registry-server/storage.ts'
import { makeManifest } from '../../integration/registry-server-fixtures.ts'

/** Counts how many manifests are read. */
class CountingManifests extends Manifests {
  reads = 0

  override get(repository: string, digest: Digest): Promise<StoredManifest | undefined> {
    this.reads++
    return super.get(repository, digest)
  }
}

test('each manifest is read once, however often a blob is asked for', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'wherry-sizes-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  const manifests = new CountingManifests(await Storage.open(root), 1024 ** 2)
  const store = async (layer: string): Promise<void> => {
    const bytes = Buffer.from(makeManifest('config', [layer]))
    await manifests.put('app', digestOf(bytes), bytes, parseManifestContent(bytes, undefined))
  }
  for (let number = 0; number < 50; number++) await store(`layer ${number}`)
  const sizes = new BlobSizes(manifests)
  const layers = ['layer 1', 'layer 22', 'config', 'layer 49']
  const found = await Promise.all(layers.map((layer) => sizes.find('app', digestOf(layer))))
  assert.deepEqual(
    found,
    layers.map((layer) => layer.length),
  )
  assert.equal(await sizes.find('app', digestOf('nowhere')), undefined)
  assert.equal(await sizes.find('other', digestOf('config')), undefined)
  assert.equal(manifests.reads, 50)
  await store('one that comes later')
  assert.equal(await sizes.find('app', digestOf('one that comes later')), 20)
  assert.equal(manifests.reads, 51)
})
