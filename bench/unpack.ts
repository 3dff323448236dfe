// SPDX-License-Identifier: MIT
// P3, its part without a network: how long layers take to unpack, beside GNU tar.
import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Unpacker } from '../lib/layer/unpacker.ts'
import { findExecutable, requireSuccess } from './command.ts'
import type { Job, UnpackResult, UnpackRow } from './job.ts'
import { describeError } from './subject-pool.ts'
import { kLayerCount, makeUnpackLayers, type UnpackLayers } from './unpack-layers.ts'

const kTmpfs = 0x01021994
const kSharedMemory = '/dev/shm'

interface Case {
  place: string
  directory: string
  work: string
  archives: readonly string[]
  durable: boolean
}

/** Unpacks the same archives in turn with GNU tar and with the library, into the same file system. */
export async function measureUnpack(job: Job & { kind: 'unpack' }, signal: AbortSignal): Promise<UnpackResult> {
  const result: UnpackResult = { kind: 'unpack', subject: 'wherry', rows: [] }
  const reason = await whyNot()
  if (reason !== undefined) return { ...result, skipped: reason }
  const directories: string[] = []
  // One for all, as an engine has it: its threads stay warm between layers.
  const unpacker = new Unpacker()
  try {
    const layers = await makeUnpackLayers(join(job.directory, 'layers'), signal)
    for (const parent of await places(job.directory)) directories.push(await mkdtemp(join(parent, 'wherry-unpack-')))
    for (const one of directories.flatMap((directory) => casesIn(directory, layers))) {
      if (signal.aborted) break
      result.rows.push(await measureCase(one, unpacker, job.rounds))
    }
  } catch (error) {
    result.failed = describeError(error)
  } finally {
    await unpacker.close()
    for (const directory of directories) await rm(directory, { recursive: true, force: true })
  }
  return result
}

async function whyNot(): Promise<string | undefined> {
  if (process.geteuid?.() !== 0) return 'owners and devices need root'
  for (const name of ['tar', 'gzip', 'sync', 'mmdebstrap']) {
    if (name === 'mmdebstrap' && process.env.WHERRY_TEST_DEBIAN_TAR !== undefined) continue
    if ((await findExecutable(name)) === undefined) return `${name} is not installed`
  }
  return undefined
}

/** Where to unpack to: where temporary files are, and in memory. */
async function places(directory: string): Promise<string[]> {
  const inMemory = await statfs(kSharedMemory).then(
    ({ type, bavail, bsize }) => type === kTmpfs && bavail * bsize > 1e9,
    () => false,
  )
  const own = dirname(directory)
  const isSame = (await statfs(own)).type === kTmpfs
  return inMemory && !isSame ? [own, kSharedMemory] : [own]
}

function casesIn(directory: string, layers: UnpackLayers): Case[] {
  const place = directory.startsWith(kSharedMemory) ? 'tmpfs' : 'temporary directory'
  const works: [string, readonly string[]][] = [
    ['Debian minbase, gzip', [layers.gzip]],
    ['Debian minbase, plain', [layers.plain]],
    [`${kLayerCount} layers, gzip`, layers.parts],
  ]
  return works.flatMap(([work, archives]) =>
    // In memory there is nothing to sync.
    (place === 'tmpfs' ? [false] : [false, true]).map((durable) => ({ place, directory, work, archives, durable })),
  )
}

async function measureCase(one: Case, unpacker: Unpacker, rounds: number): Promise<UnpackRow> {
  // Trees stay until the case is over: for some seconds ext4 is slow to make files where it has just removed many.
  const made: string[] = []
  const row: UnpackRow = { place: one.place, work: one.work, durable: one.durable, tar: [], wherry: [] }
  for (let round = -1; round < rounds; round++) {
    const order = round % 2 === 0 ? (['tar', 'wherry'] as const) : (['wherry', 'tar'] as const)
    for (const name of order) {
      const target = join(one.directory, `${name}-${made.length}`)
      made.push(target)
      await requireSuccess('sync', ['-f', one.directory])
      const start = performance.now()
      await (name === 'tar' ? unpackWithTar(one, target) : unpackWithWherry(one, target, unpacker))
      const ms = performance.now() - start
      // The round before the first is for the caches.
      if (round >= 0) row[name].push({ round, ms })
    }
  }
  for (const target of made) await rm(target, { recursive: true, force: true })
  return row
}

async function unpackWithTar({ archives, durable }: Case, target: string): Promise<void> {
  for (const [index, archive] of archives.entries()) {
    const directory = join(target, String(index))
    await requireSuccess('mkdir', ['-p', directory])
    await requireSuccess('tar', ['--numeric-owner', '--xattrs', '-xpf', archive, '-C', directory])
  }
  if (durable) await requireSuccess('sync', ['-f', target])
}

async function unpackWithWherry({ archives, durable }: Case, target: string, unpacker: Unpacker): Promise<void> {
  await requireSuccess('mkdir', ['-p', target])
  await Promise.all(
    archives.map((source, index) =>
      unpacker.unpack({ source, layer: source, targetDir: join(target, String(index)), durable }),
    ),
  )
}
