// SPDX-License-Identifier: MIT
// P3: from a registry on loopback to ready-to-run, and the way there, beside podman, skopeo with umoci, and GNU tar.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { findExecutable, requireSuccess } from './command.ts'
import { watchLoop } from './event-loop.ts'
import type { Job, LoopDelay, TransferResult, TransferRow } from './job.ts'
import { BenchRegistry } from './registry.ts'
import { describeError } from './subject-pool.ts'
import { kPullSubjects, kPushSubjects, type TransferImage, type TransferSubject } from './transfer-subjects.ts'
import { kLayerCount, makeUnpackLayers } from './unpack-layers.ts'

const kIdleMs = 2_000

/** Pulls and pushes the same images in turn with every subject, each time into an empty place. */
export async function measureTransfer(job: Job & { kind: 'transfer' }, signal: AbortSignal): Promise<TransferResult> {
  const result: TransferResult = { kind: 'transfer', subject: 'wherry', rows: [] }
  const reason = await whyNot()
  if (reason !== undefined) return { ...result, skipped: reason }
  let registry: BenchRegistry | undefined
  try {
    await mkdir(job.directory, { recursive: true })
    registry = await BenchRegistry.start(join(job.directory, 'registry'))
    result.idle = await watchLoop(() => delay(kIdleMs))
    for (const image of await makeImages(job.directory, registry.host, signal)) {
      for (const [work, subjects] of [['pull', kPullSubjects] as const, ['push', kPushSubjects] as const]) {
        if (signal.aborted) break
        result.rows.push(await measureWork(job, { work, image, subjects }))
      }
    }
  } catch (error) {
    result.failed = describeError(error)
  } finally {
    await registry?.close()
  }
  return result
}

async function whyNot(): Promise<string | undefined> {
  if (process.geteuid?.() !== 0) return 'owners and devices need root'
  for (const name of ['docker-registry', 'skopeo', 'umoci', 'podman', 'tar', 'gzip', 'mmdebstrap']) {
    if (name === 'mmdebstrap' && process.env.WHERRY_TEST_DEBIAN_TAR !== undefined) continue
    if ((await findExecutable(name)) === undefined) return `${name} is not installed`
  }
  return undefined
}

async function makeImages(directory: string, host: string, signal: AbortSignal): Promise<TransferImage[]> {
  const layers = await makeUnpackLayers(join(directory, 'layers'), signal)
  const images: TransferImage[] = []
  const kinds = { 'Debian minbase': [layers.gzip], [`Debian, ${kLayerCount} layers`]: layers.parts }
  for (const [index, [name, archives]] of Object.entries(kinds).entries()) {
    const layout = join(directory, `layout-${index}`)
    const image = `${layout}:x`
    await requireSuccess('umoci', ['init', '--layout', layout])
    await requireSuccess('umoci', ['new', '--image', image])
    for (const archive of archives) {
      const plain = join(directory, 'layer.tar')
      await requireSuccess('sh', ['-c', 'gzip -dc "$0" > "$1"', archive, plain])
      await requireSuccess('umoci', ['raw', 'add-layer', '--image', image, plain])
      await rm(plain)
    }
    const reference = `${host}/bench-${index}:1`
    const target = ['--dest-tls-verify=false', `oci:${image}`, `docker://${reference}`]
    await requireSuccess('skopeo', ['copy', '--quiet', ...target])
    images.push({ name, reference, layout: `oci:${image}`, blobs: await layersOf(reference, layout) })
  }
  return images
}

async function layersOf(reference: string, layout: string): Promise<string[]> {
  const text = await requireSuccess('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${reference}`])
  const { layers } = JSON.parse(text) as { layers: { digest: string }[] }
  return layers.map(({ digest }) => join(layout, 'blobs', digest.replace(':', '/')))
}

interface Work {
  work: 'pull' | 'push'
  image: TransferImage
  subjects: ReadonlyMap<string, TransferSubject>
}

async function measureWork(job: Job & { kind: 'transfer' }, { work, image, subjects }: Work): Promise<TransferRow> {
  const row: TransferRow = { work, image: image.name, samples: {}, loops: [] }
  const names = [...subjects.keys()]
  for (const name of names) row.samples[name] = []
  // The first round finds caches cold for one and warm for the other.
  for (let round = -1; round < job.rounds; round++) {
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      const subject = subjects.get(name)
      if (subject === undefined) continue
      const { ms, loop } = await timeTrial(subject, image, join(job.directory, 'trial'))
      if (round < 0) continue
      row.samples[name]?.push({ round, ms })
      if (name.startsWith('wherry')) row.loops.push(loop)
    }
  }
  return row
}

async function timeTrial(
  subject: TransferSubject,
  image: TransferImage,
  directory: string,
): Promise<{ ms: number; loop: LoopDelay }> {
  await mkdir(directory)
  const trial = await subject(image, directory)
  try {
    // What others have written is not for this one to wait for.
    await requireSuccess('sync', ['-f', directory])
    const start = performance.now()
    const loop = await watchLoop(trial.run)
    return { ms: performance.now() - start, loop }
  } finally {
    await trial.after?.()
    await rm(directory, { recursive: true, force: true })
  }
}
