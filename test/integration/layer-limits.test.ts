// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Engine, type EngineOptions } from '../../lib/engine.ts'
import { LayerError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { makeTar } from '../helpers/make-tar.ts'

checkLeftovers()

async function open(t: TestContext, layerLimits: EngineOptions['layerLimits']) {
  const dir = await mkdtemp(join(tmpdir(), 'wherry-limits-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const engine = await Engine.open({ root: join(dir, 'root'), layerLimits })
  t.after(() => engine.close())
  const tar = join(dir, 'layer.tar')
  await writeFile(
    tar,
    makeTar([
      { name: 'a/', type: '5' },
      { name: 'a/b/', type: '5' },
      { name: 'a/b/c', body: 'x'.repeat(1000) },
    ]),
  )
  return { dir, engine, tar }
}

test('an engine holds layers to its limits, and keeps nothing of one that goes beyond', async (t) => {
  for (const [layerLimits, entry, message] of [
    [{ maxEntries: 2 }, 'a/b/c', /more than 2 entries/],
    [{ maxBytes: 999 }, 'a/b/c', /more than 999 bytes/],
    [{ maxPathDepth: 1 }, 'a/b/', /deeper than 1 dir/],
    [{ maxNameBytes: 4 }, 'a/b/c', /longer than 4 bytes/],
  ] as const) {
    const { engine, tar } = await open(t, layerLimits)
    await assert.rejects(Image.import(tar, { engine }), (error) => {
      assert.ok(error instanceof LayerError)
      assert.match(error.message, message)
      assert.equal(error.entry, entry)
      return true
    })
    await engine.store.idle()
    assert.deepEqual((await engine.verify()).faults, [])
    for (const folder of ['layers', 'tmp', 'oci/blobs/sha256']) {
      assert.deepEqual(await readdir(join(engine.root, folder)), [], folder)
    }
    assert.deepEqual(await Image.list({ engine }), [])
  }
  const { engine, tar } = await open(t, { maxEntries: 3, maxBytes: 1000, maxPathDepth: 2, maxNameBytes: 5 })
  await Image.import(tar, { engine })
})

test('limits are checked when the engine opens, before anything is made', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'wherry-limits-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const root = join(dir, 'root')
  for (const [layerLimits, message] of [
    [{ maxFiles: 1 }, /layerLimits\.maxFiles/],
    [{ maxEntries: -1 }, /layerLimits\.maxEntries/],
    [{ maxBytes: 1.5 }, /layerLimits\.maxBytes/],
    [{ maxBytes: '1g' }, /layerLimits\.maxBytes/],
    [7, /layerLimits/],
  ] as const) {
    await assert.rejects(Engine.open({ root, layerLimits: layerLimits as never }), {
      code: 'ERR_INVALID_OPTION',
      message,
    })
    assert.deepEqual(await readdir(dir), [])
  }
})
