// SPDX-License-Identifier: MIT
// A pull that is killed: the next one goes on from what was downloaded. See store-kill.test.ts for kills at any instant.
import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { until } from '../helpers/until.ts'
import { assertSound, needsRegistry, seedLarge } from '../integration/pull-fixtures.ts'
import { Worker } from './store-workers.ts'

checkLeftovers()

test('the pull after a kill asks only for what is missing', async (t) => {
  if (!needsRegistry(t)) return
  const { dir, proxy, reference, manifest, large } = await seedLarge(t, [3_000_000, 500_000])
  const root = join(dir, 'root')
  proxy.inject({ path: new RegExp(large), fault: { kind: 'stall', afterBytes: 2_000_000 } })
  const places = { root, archive: '', pullReference: reference, pushHost: '', saveTo: '' }
  const worker = new Worker(t, 'pull', places)
  await worker.isReady()
  worker.go()
  await using engine = await Engine.open({ root })
  const sizesOf = manifest.layers.map(({ digest, size }) => (digest === large ? 2_000_000 : size))
  const expected = sizesOf.sort().join()
  const arrived = async (): Promise<boolean> => {
    const names = await readdir(join(root, 'partial')).catch(() => [])
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(root, 'partial', name))).size))
    return sizes.sort().join() === expected
  }
  await worker.hasBegun()
  await until(arrived, 'all layers have arrived as far as they will')
  assert.ok(await worker.kill(), 'the pull was interrupted')
  proxy.reset()
  await engine.store.repair()
  await Image.pull(reference, { engine })
  const asked = proxy.requests.filter(({ path }) => manifest.layers.some((layer) => path.endsWith(layer.digest)))
  assert.deepEqual(
    asked.map(({ headers }) => headers.range),
    ['bytes=2000000-'],
  )
  await assertSound(engine)
})
