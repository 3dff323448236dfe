// SPDX-License-Identifier: MIT
// P3: from a registry on loopback to ready-to-run, and the way there, beside podman, skopeo with umoci, and GNU tar.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { findExecutable, requireSuccess } from './command.ts'
import { holdContest } from './contest.ts'
import { watchLoop } from './event-loop.ts'
import { missingRoom } from './files.ts'
import type { Job, TransferResult, TransferRow } from './job.ts'
import { type Random, seededRandom } from './random.ts'
import { BenchRegistry } from './registry.ts'
import { SkipError } from './subject.ts'
import { describeError, noteAbsence } from './subject-pool.ts'
import { kPullSubjects, kPushSubjects, type TransferImage, type TransferSubject } from './transfer-subjects.ts'
import { findUnpackLayers, kLayerCount } from './unpack-layers.ts'

const kIdleMs = 2_000
const kTools = ['docker-registry', 'skopeo', 'umoci', 'gzip', 'tar'] as const
/** The largest trial makes a tree and two copies of the blobs. */
const kTrialBytes = 400e6
/** The images twice, in a layout and in a registry, a tar while they are made, and a trial. */
const kRoomBytes = 400e6 + kTrialBytes

/** Pulls and pushes the same images in turn with every subject, each time into an empty place. */
export async function measureTransfer(job: Job & { kind: 'transfer' }, signal: AbortSignal): Promise<TransferResult> {
  const result: TransferResult = { kind: 'transfer', subject: 'wherry', rows: [] }
  const { directory } = job
  let registry: BenchRegistry | undefined
  try {
    await mkdir(directory, { recursive: true })
    await requireTools()
    const shared = join(job.sharedDirectory, 'layers')
    await findUnpackLayers(shared, signal)
    const missing = await missingRoom(directory, kRoomBytes)
    if (missing !== undefined) throw new SkipError(missing)
    registry = await BenchRegistry.start(join(directory, 'registry'))
    const images = await makeImages({ directory, shared, host: registry.host, signal })
    result.idle = await watchLoop(() => delay(kIdleMs))
    await measureImages(images, job, result, signal)
  } catch (error) {
    noteAbsence(result, error)
  } finally {
    await registry?.close()
  }
  return result
}

async function measureImages(
  images: readonly TransferImage[],
  job: Job & { kind: 'transfer' },
  result: TransferResult,
  signal: AbortSignal,
): Promise<void> {
  const random: Random = seededRandom(job.seed)
  for (const image of images) {
    for (const [work, subjects] of [['pull', kPullSubjects] as const, ['push', kPushSubjects] as const]) {
      if (signal.aborted) return
      result.rows.push(await measureRow(job, { work, image, subjects, random, signal }))
    }
  }
}

interface RowPlan {
  work: TransferRow['work']
  image: TransferImage
  subjects: readonly TransferSubject[]
  random: Random
  signal: AbortSignal
}

async function measureRow(
  { directory, rounds }: Job & { kind: 'transfer' },
  { work, image, subjects, random, signal }: RowPlan,
): Promise<TransferRow> {
  const contenders = subjects.map((subject) => subject(image))
  const kept = (await missingRoom(directory, contenders.length * (rounds + 1) * kTrialBytes)) === undefined
  const results = await holdContest(contenders, { directory, rounds, random, signal, keep: kept })
  return { work, image: image.name, kept, contenders: results }
}

async function requireTools(): Promise<void> {
  if (process.geteuid?.() !== 0) throw new SkipError('owners and devices need root')
  for (const name of kTools) {
    if ((await findExecutable(name)) === undefined) throw new SkipError(`${name} is not installed`)
  }
}

interface ImagePlan {
  directory: string
  /** Where the layers are. */
  shared: string
  host: string
  signal: AbortSignal
}

/** @throws {SkipError} where a tool cannot make one: there is nothing to measure then. */
async function makeImages(plan: ImagePlan): Promise<TransferImage[]> {
  const layers = await findUnpackLayers(plan.shared, plan.signal)
  const kinds = { 'Debian minbase': [layers.gzip], [`Debian, ${kLayerCount} layers`]: layers.parts }
  const images: TransferImage[] = []
  for (const [index, [name, archives]] of Object.entries(kinds).entries()) {
    const paths = archives.map(({ path }) => path)
    const image = makeImage(plan, { index, name, paths }).catch((error: unknown) => {
      throw new SkipError(`no image: ${describeError(error)}`)
    })
    images.push(await image)
  }
  return images
}

async function makeImage(
  { directory, host, signal }: ImagePlan,
  { index, name, paths }: { index: number; name: string; paths: readonly string[] },
): Promise<TransferImage> {
  const layout = join(directory, `layout-${index}`)
  const image = `${layout}:x`
  await requireSuccess('umoci', ['init', '--layout', layout], { signal })
  await requireSuccess('umoci', ['new', '--image', image], { signal })
  for (const path of paths) {
    const plain = join(directory, 'layer.tar')
    await requireSuccess('sh', ['-c', 'gzip -dc "$0" > "$1"', path, plain], { signal })
    await requireSuccess('umoci', ['raw', 'add-layer', '--image', image, plain], { signal })
    await rm(plain)
  }
  const reference = `${host}/bench-${index}:1`
  const target = ['--dest-tls-verify=false', `oci:${image}`, `docker://${reference}`]
  await requireSuccess('skopeo', ['copy', '--quiet', ...target], { signal })
  return { name, reference, layout, blobs: await layersOf(reference, layout) }
}

async function layersOf(reference: string, layout: string): Promise<string[]> {
  const text = await requireSuccess('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${reference}`])
  const { layers } = JSON.parse(text) as { layers: { digest: string }[] }
  return layers.map(({ digest }) => join(layout, 'blobs', digest.replace(':', '/')))
}
