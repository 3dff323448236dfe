// SPDX-License-Identifier: MIT
// P3, its part without a network: how long layers take to unpack, beside GNU tar.
import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Unpacker } from '../lib/layer/unpacker.ts'
import { type Contender, holdContest } from './contest.ts'
import { missingRoom } from './files.ts'
import type { Job, UnpackResult, UnpackRow } from './job.ts'
import { kAtOnce, kUnpackNames } from './p3-names.ts'
import { type Random, seededRandom } from './random.ts'
import { noteAbsence } from './subject-pool.ts'
import { type Archive, findUnpackLayers, kLayerCount, type UnpackLayers } from './unpack-layers.ts'
import { prepareUntar } from './untar.ts'

const kTmpfs = 0x01021994
const kSharedMemory = '/dev/shm'

/** A file system to unpack to. */
interface Place {
  name: string
  directory: string
  /** In memory there is nothing to sync, and removing files does not slow down those who make the next. */
  inMemory: boolean
}

interface Contest {
  place: Place
  unpacker: Unpacker
  treeBytes: number
  rounds: number
  random: Random
  signal: AbortSignal
}

/** Unpacks the same archives in turn with GNU tar and with the library, into the same file system. */
export async function measureUnpack(job: Job & { kind: 'unpack' }, signal: AbortSignal): Promise<UnpackResult> {
  const result: UnpackResult = { kind: 'unpack', subject: 'wherry', rows: [] }
  // One for all, as an engine has it: its threads stay warm between layers.
  const unpacker = new Unpacker({ maxPairs: kAtOnce })
  const random = seededRandom(job.seed)
  try {
    if (process.geteuid?.() !== 0) return { ...result, skipped: 'owners and devices need root' }
    const layers = await findUnpackLayers(join(job.sharedDirectory, 'layers'), signal)
    for (const place of await findPlaces(dirname(job.directory))) {
      const directory = await mkdtemp(join(place.directory, 'wherry-unpack-'))
      try {
        const common = { unpacker, treeBytes: layers.treeBytes, rounds: job.rounds, random, signal }
        for (const work of listWorks(layers)) {
          if (signal.aborted) break
          result.rows.push(await measureRow(work, { ...common, place: { ...place, directory } }))
        }
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
    }
  } catch (error) {
    noteAbsence(result, error)
  } finally {
    await unpacker.close()
  }
  return result
}

/** Where temporary files are, and in memory. */
async function findPlaces(own: string): Promise<Place[]> {
  const isTmpfs = (path: string) =>
    statfs(path).then(
      ({ type }) => type === kTmpfs,
      () => false,
    )
  if (await isTmpfs(own)) return [{ name: 'tmpfs', directory: own, inMemory: true }]
  const places: Place[] = [{ name: 'disk', directory: own, inMemory: false }]
  if (await isTmpfs(kSharedMemory)) places.push({ name: 'tmpfs', directory: kSharedMemory, inMemory: true })
  return places
}

interface Work {
  layers: string
  archives: readonly Archive[]
}

function listWorks({ gzip, plain, parts }: UnpackLayers): Work[] {
  return [
    { layers: 'Debian minbase, gzip', archives: [gzip] },
    { layers: 'Debian minbase, plain', archives: [plain] },
    { layers: `${kLayerCount} layers, gzip, ${kAtOnce} at once`, archives: parts },
  ]
}

async function measureRow({ layers, archives }: Work, contest: Contest): Promise<UnpackRow> {
  const { place, treeBytes, rounds, random, signal } = contest
  const contenders = listContenders(archives, contest)
  const row: UnpackRow = { layers, place: place.name, contenders: [] }
  // On a disk trees stay until the row is over: for some seconds ext4 is slow to make files where it has just removed many.
  const keep = !place.inMemory
  const trees = keep ? contenders.length * (rounds + 1) : 1
  const missing = await missingRoom(place.directory, trees * treeBytes)
  if (missing !== undefined) return { ...row, skipped: missing }
  row.contenders = await holdContest(contenders, { directory: place.directory, rounds, random, signal, keep })
  return row
}

function listContenders(archives: readonly Archive[], { place, unpacker }: Contest): Contender[] {
  const paths = archives.map(({ path }) => path)
  const tar = (name: string, synced: boolean): Contender => ({
    name,
    needs: ['tar', 'gzip'],
    prepare: ({ directory }) => prepareUntar(paths, directory, { synced }),
  })
  const ours = (name: string, durable: boolean): Contender => ({
    name,
    ours: true,
    prepare: async ({ directory }) => {
      return () => unpackAll(unpacker, { archives, directory, durable })
    },
  })
  const inAnyPlace = [ours(kUnpackNames.ours, false), tar(kUnpackNames.tar, false)]
  if (place.inMemory) return inAnyPlace
  return [...inAnyPlace, ours(kUnpackNames.oursSynced, true), tar(kUnpackNames.tarSynced, true)]
}

/** Digests of both forms are checked, as in a pull. */
async function unpackAll(
  unpacker: Unpacker,
  { archives, directory, durable }: { archives: readonly Archive[]; directory: string; durable: boolean },
): Promise<void> {
  const jobs = archives.map(({ path, digest, diffId }, index) => {
    const expected = { expectedDigest: digest, expectedDiffId: diffId }
    return unpacker.unpack({
      source: path,
      layer: path,
      targetDir: join(directory, String(index)),
      durable,
      ...expected,
    })
  })
  await Promise.all(jobs)
}
