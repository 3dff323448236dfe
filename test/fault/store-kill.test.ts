// SPDX-License-Identifier: MIT
// kill -9 of several processes on one store, at instants of a pull, a push, a prune, a load, and also of a save and a removal.
// WHERRY_KILLS sets how many of the first four are killed, WHERRY_SEED when.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { seededRandom } from '../../bench/random.ts'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import { startDockerRegistry } from '../helpers/docker-registry.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { makeTar } from '../helpers/make-tar.ts'
import { assertSound, needsRegistry, seedLarge } from '../integration/pull-fixtures.ts'
import { countFromEnv, type Places, Worker, type WorkerMode } from './store-workers.ts'

checkLeftovers()

const kStruck = ['pull', 'push', 'prune', 'load'] as const
const kOthers = ['save', 'remove'] as const
/** In one round of so many, the others take part. */
const kOthersEvery = 3
const kKills = countFromEnv('WHERRY_KILLS', 100)
const kRounds = Math.ceil(kKills / kStruck.length)
const kSeed = countFromEnv('WHERRY_SEED', 20_261_124)
/** By how much workers that began together are struck apart. */
const kSpreadMs = 150

interface Setting {
  places: Places
  /** Of what is pulled. */
  imageId: string
  /** Of what is loaded and saved. */
  archiveIds: string[]
}

/** Two images of many small files, saved by wherry itself. @returns their ids. */
async function makeArchive(dir: string, archive: string): Promise<string[]> {
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
  await Image.save(images, archive)
  return images.map(({ id }) => id).sort()
}

async function prepare(t: TestContext): Promise<Setting> {
  const [{ dir, host, manifest }, target] = await Promise.all([
    seedLarge(t, [2_000_000, 1_000_000, 300_000, 10_000]),
    startDockerRegistry(t),
  ])
  const pullReference = `${host}/large:1`
  const places = {
    root: join(dir, 'root'),
    archive: join(dir, 'archive.tar'),
    pullReference,
    pushHost: target.host,
    saveTo: join(dir, 'out/saved.tar'),
  }
  await mkdir(join(dir, 'out'))
  const archiveIds = await makeArchive(dir, places.archive)
  return { places, imageId: manifest.config.digest, archiveIds }
}

/** Kills struck, and those in the middle of what was to be struck. */
class Tally {
  readonly #kills = new Map<WorkerMode, number>()
  readonly #midway = new Map<WorkerMode, number>()
  readonly #tookMs = new Map<WorkerMode, number[]>()

  add({ mode, tookMs }: Worker, wasMidway: boolean): void {
    this.#kills.set(mode, this.kills(mode) + 1)
    this.#midway.set(mode, this.midway(mode) + (wasMidway ? 1 : 0))
    this.#tookMs.set(mode, [...(this.#tookMs.get(mode) ?? []), ...tookMs])
  }

  kills(mode: WorkerMode): number {
    return this.#kills.get(mode) ?? 0
  }

  midway(mode: WorkerMode): number {
    return this.#midway.get(mode) ?? 0
  }

  /** The middle one of how long it took, in milliseconds; `undefined` before one came to its end. */
  usualMs(mode: WorkerMode): number | undefined {
    const sorted = [...(this.#tookMs.get(mode) ?? [])].sort((a, b) => a - b)
    return sorted[sorted.length >> 1]
  }

  toString(): string {
    const modes: WorkerMode[] = [...kStruck, ...kOthers]
    return modes.map((mode) => `${mode} ${this.midway(mode)} of ${this.kills(mode)}`).join(', ')
  }
}

/** Kills a worker at some instant of what it does. */
async function strike(worker: Worker, random: () => number, tally: Tally): Promise<void> {
  const [laterMs, share] = [random() * kSpreadMs, random()]
  await delay(laterMs)
  // The first of a kind is let be until it is known how long it takes: any instant of that is to be struck.
  if (tally.usualMs(worker.mode) === undefined) await worker.hasEndedOnce()
  const usualMs = tally.usualMs(worker.mode) ?? worker.tookMs[0] ?? 0
  await worker.hasBegun()
  await delay(share * usualMs)
  const wasMidway = await worker.kill()
  tally.add(worker, wasMidway)
}

/** Checks the store, and that everything can be done with it that the killed ones were at. */
async function checkStore({ places, imageId, archiveIds }: Setting, when: string): Promise<void> {
  await using engine = await Engine.open({ root: places.root })
  assert.deepEqual((await engine.verify()).faults, [], when)
  assert.deepEqual(await readdir(join(places.root, 'tmp')), [], when)
  const image = await Image.pull(places.pullReference, { engine, policy: 'always' })
  assert.equal(image.id, imageId, when)
  const loaded = await Image.load(places.archive, { engine })
  assert.deepEqual(loaded.map(({ id }) => id).sort(), archiveIds, when)
  assert.deepEqual((await engine.verify({ content: false })).faults, [], `${when}, after a pull and a load`)
  for (const { id } of [image, ...loaded]) await Image.remove(id, { engine, force: true })
}

/** A file that was saved to holds all images, wherever its writer was killed afterwards. @returns whether there is one. */
async function checkSaved({ places, archiveIds }: Setting, worker: Worker, when: string): Promise<boolean> {
  if (!existsSync(places.saveTo)) {
    assert.equal(worker.tookMs.length, 0, `${when}: the worker has saved, and there is no file`)
    return false
  }
  const root = `${places.saveTo}.root`
  const engine = await Engine.open({ root })
  try {
    const ids = (await Image.load(places.saveTo, { engine })).map(({ id }) => id)
    assert.deepEqual(ids.sort(), archiveIds, when)
  } finally {
    await engine.close()
    await rm(root, { recursive: true })
    await rm(places.saveTo)
  }
  return true
}

test(`${kRounds * kStruck.length} kills of pull, push, prune and load`, { timeout: kRounds * 20_000 }, async (t) => {
  if (!needsRegistry(t)) return
  const setting = await prepare(t)
  const random = seededRandom(kSeed)
  const tally = new Tally()
  let saves = 0
  for (let round = 0; round < kRounds; round++) {
    const when = `round ${round} of WHERRY_SEED=${kSeed}`
    const modes: WorkerMode[] = [...kStruck, ...(round % kOthersEvery === 0 ? kOthers : [])]
    const workers = modes.map((mode) => new Worker(t, mode, setting.places))
    await Promise.all(workers.map((worker) => worker.isReady()))
    for (const worker of workers) worker.go()
    // Every other time one goes on while the store is looked at for the first time.
    const survivor = round % 2 === 0 ? undefined : workers[Math.floor(random() * workers.length)]
    const others = workers.filter((worker) => worker !== survivor)
    await Promise.all(others.map((worker) => strike(worker, random, tally)))
    if (survivor !== undefined) {
      await using engine = await Engine.open({ root: setting.places.root })
      assert.deepEqual((await engine.verify()).faults, [], `${when}, while ${survivor.mode} goes on`)
      await strike(survivor, random, tally)
    }
    await checkStore(setting, when)
    const saver = workers.find((worker) => worker.mode === 'save')
    if (saver !== undefined && (await checkSaved(setting, saver, when))) saves++
  }
  t.diagnostic(`struck in the middle: ${tally}; ${saves} saved files were whole`)
  for (const mode of kStruck) {
    assert.equal(tally.kills(mode), kRounds)
    assert.ok(tally.midway(mode) >= Math.floor(kRounds / 4), `WHERRY_SEED=${kSeed}: ${tally}`)
  }
  if (kRounds >= 10) assert.ok(saves > 0, `WHERRY_SEED=${kSeed}: nothing was ever saved`)
  await using engine = await Engine.open({ root: setting.places.root })
  // Killed processes leave empty lock files, which prune collects.
  await engine.prune()
  await assertSound(engine)
})
