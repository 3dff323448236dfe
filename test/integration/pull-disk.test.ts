// SPDX-License-Identifier: MIT
// When a pull waits for the disk.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadNative } from '../../lib/launcher/native.ts'
import { hostPlatform } from '../../lib/oci/platform.ts'
import { Reference } from '../../lib/oci/reference.ts'
import type { StoreNative } from '../../lib/store/native.ts'
import { Store } from '../../lib/store/store.ts'
import { Registries } from '../../lib/transfer/registries.ts'
import { Transfers } from '../../lib/transfer/transfers.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { needsRegistry, seedRegistry } from './pull-fixtures.ts'

checkLeftovers()

test('layers are written to the disk once, when the image is listed already', async (t) => {
  if (!needsRegistry(t)) return
  const { dir, reference } = await seedRegistry(t)
  const native = loadNative()
  const listed: number[] = []
  const syncfsAsync = async (fd: number): Promise<void> => {
    listed.push((await store.images.list()).length)
    await native.syncfsAsync(fd)
  }
  const watched: StoreNative = { ofdLock: (fd, mode) => native.ofdLock(fd, mode), syncfsAsync }
  const store = await Store.open({ root: join(dir, 'root'), native: watched })
  t.after(() => store.close())
  const transfers = new Transfers(store, watched, new Registries({}))
  t.after(() => transfers.close(undefined))
  const request = { platform: hostPlatform(process.arch), isPlatformGiven: false, allPlatforms: false, concurrency: 3 }
  const image = await transfers.pull(
    { ...request, reference: Reference.parse(reference), policy: 'always', signal: undefined, onProgress: undefined },
    {},
  )
  await store.idle()
  assert.deepEqual(listed, [1])
  assert.equal(image.manifest.layers.length, 2)
  assert.deepEqual(await store.verify(), [])
})
