// SPDX-License-Identifier: MIT
// kill -9 of several processes on one store, at instants that only the seed knows. WHERRY_KILLS sets how many there are.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { env, execPath } from 'node:process'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { makeTar } from '../helpers/make-tar.ts'
import { first, tempDir } from '../integration/image-fixtures.ts'

checkLeftovers()

const kModes = ['load', 'save', 'prune', 'remove'] as const
const kProcesses = 3
const kKills = Number(env.WHERRY_KILLS ?? 30)
const kLongestMs = 250
const kWorker = fileURLToPath(new URL('./store-worker.js', import.meta.url))

/** The same numbers each time. @source Numerical Recipes, "quick and dirty" generator */
function makeRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** Two layers of many small files, saved by wherry itself. */
async function makeArchive(dir: string): Promise<string> {
  await mkdir(dir)
  await using engine = await Engine.open({ root: join(dir, 'maker') })
  const images: Image[] = []
  for (const part of ['a', 'b']) {
    const files = Array.from({ length: 150 }, (_value, number) => ({
      name: `${part}-${number}`,
      body: `${part}${number}`.repeat(500),
    }))
    const tar = join(dir, `${part}.tar`)
    await writeFile(tar, makeTar(files))
    images.push(await Image.import(tar, { engine, created: new Date(0), reference: `made:${part}` }))
  }
  await Image.save(images, join(dir, 'archive.tar'))
  return join(dir, 'archive.tar')
}

test(`${kKills} processes killed at any instant leave a sound store`, { timeout: 300_000 }, async (t) => {
  const dir = await tempDir(t)
  const archive = await makeArchive(join(dir, 'made'))
  const [root, out] = [join(dir, 'root'), join(dir, 'out')]
  await mkdir(out)
  const children = new Set<ChildProcess>()
  t.after(() => {
    for (const child of children) child.kill('SIGKILL')
  })
  const random = makeRandom(20_260_110)
  const expected = await savedBytes(dir, archive)
  for (let round = 0; round * kProcesses < kKills; round++) {
    await Promise.all(
      Array.from({ length: kProcesses }, async (_value, turn) => {
        const mode = kModes[(round + turn) % kModes.length] ?? 'load'
        const lifeMs = random() * kLongestMs
        const args = [kWorker, root, archive, join(out, `${mode}.tar`), mode]
        const child = spawn(execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
        children.add(child)
        const ended = once(child, 'exit')
        await Promise.race([once(child.stdout, 'data'), ended])
        await delay(lifeMs)
        child.kill('SIGKILL')
        const [exitCode, killSignal] = (await ended) as [number | null, string | null]
        children.delete(child)
        assert.deepEqual([exitCode, killSignal], [null, 'SIGKILL'], `${mode} ended by itself`)
      }),
    )
    await using engine = await Engine.open({ root })
    assert.deepEqual((await engine.verify()).faults, [], `round ${round}`)
    assert.deepEqual(await readdir(join(root, 'tmp')), [])
    const loaded = first(await Image.load(archive, { engine }))
    assert.deepEqual(loaded.tags.includes('docker.io/library/made:a'), true)
    assert.deepEqual((await engine.verify({ content: false })).faults, [], `round ${round}, after a load`)
    // A name that was to be saved to holds a whole archive, or nothing.
    const saved = join(out, 'save.tar')
    if (existsSync(saved)) assert.ok((await readFile(saved)).length >= expected.length)
    if (existsSync(saved)) await Image.load(saved, { engine })
    await rm(saved, { force: true })
  }
})

async function savedBytes(dir: string, archive: string): Promise<Buffer> {
  await using engine = await Engine.open({ root: join(dir, 'reference') })
  const path = join(dir, 'reference.tar')
  await first(await Image.load(archive, { engine })).save(path)
  return readFile(path)
}
