// SPDX-License-Identifier: MIT
import { setTimeout as delay } from 'node:timers/promises'
import { growResident, hugePageBytes } from './ballast.ts'
import { collectHostFacts, machineBusyMs } from './host-facts.ts'
import type { Absence, BlockResult, Job, LatencyResult, LatencySettings, LatencySubjectResult } from './job.ts'
import { type Random, seededRandom, shuffled } from './random.ts'
import { median } from './statistics.ts'
import type { Subject } from './subject.ts'
import { describeError, SubjectPool } from './subject-pool.ts'
import { catalogueOf } from './subjects/catalogue.ts'

/** A subject that takes part; a failure is noted. */
export interface Runner {
  subject: Subject
  result: Absence
}

interface Entry extends Runner {
  result: LatencySubjectResult
  slow: boolean
}

/** P1 and P2: start to exit of every subject, side by side, in a process of a given size. */
export async function measureLatency(job: Job & { kind: 'latency' }, signal: AbortSignal): Promise<LatencyResult> {
  const pool = await SubjectPool.open(job.subjects, job.directory, job.packageRoot, catalogueOf(job.work))
  try {
    // What preparing has thrown away is no part of an embedding process.
    globalThis.gc?.()
    const ballast = growResident(job.residentBytes)
    const result: LatencyResult = {
      kind: 'latency',
      work: job.work,
      residentTargetBytes: job.residentBytes,
      residentBytes: process.memoryUsage.rss(),
      hugePageBytes: await hugePageBytes(),
      cgroups: (await collectHostFacts()).cgroups,
      peerSeccompEntries: pool.seccompEntries,
      subjects: [],
    }
    const entries: Entry[] = []
    for (const { subject, ...state } of pool.prepared) {
      const part: LatencySubjectResult = { ...state, interleaved: [] }
      result.subjects.push(part)
      if (subject !== undefined) entries.push({ subject, result: part, slow: false })
    }
    for (const [name, skipped] of Object.entries(job.leftOut)) {
      result.subjects.push({ name, skipped, interleaved: [] })
    }
    await measureEntries(entries, job.settings, signal)
    // Touched once more at the end, so that the ballast cannot have been collected before it.
    if (ballast.some((piece) => piece.length === 0)) throw new Error('the ballast is gone')
    return result
  } finally {
    await pool.close()
  }
}

async function measureEntries(entries: Entry[], settings: LatencySettings, signal: AbortSignal): Promise<void> {
  const random = seededRandom(settings.seed)
  await interleave(entries, settings, random, signal)
  for (const entry of shuffled(entries, random)) {
    if (entry.result.failed !== undefined || signal.aborted) continue
    const divisor = entry.slow ? settings.slowEvery : 1
    entry.result.sequential = await runBlock(entry, 1, settings.sequentialRuns / divisor, signal)
    entry.result.concurrent = await runBlock(entry, settings.concurrency, settings.concurrentRuns / divisor, signal)
  }
}

async function interleave(
  entries: Entry[],
  settings: LatencySettings,
  random: Random,
  signal: AbortSignal,
): Promise<void> {
  const warmups = new Map(entries.map((entry) => [entry, [] as number[]]))
  for (let round = -settings.warmupRounds; round < settings.rounds && !signal.aborted; round++) {
    if (round === 0) for (const [entry, times] of warmups) entry.slow = median(times) > settings.slowMs
    for (const entry of shuffled(entries, random)) {
      if (entry.result.failed !== undefined || signal.aborted) continue
      if (entry.slow && round % settings.slowEvery !== 0) continue
      const ms = await timed(entry)
      if (Number.isNaN(ms)) continue
      if (round < 0) warmups.get(entry)?.push(ms)
      else entry.result.interleaved.push({ round, ms })
      await delay(settings.pauseMs)
    }
  }
}

/** Times one trial; a failure is noted in the entry and answered by NaN. */
async function timed(entry: Runner): Promise<number> {
  try {
    const start = performance.now()
    await entry.subject.trial()
    const ms = performance.now() - start
    await entry.subject.afterTrial?.()
    return ms
  } catch (error) {
    entry.result.failed = describeError(error)
    return Number.NaN
  }
}

/** Runs without a pause, so many at once. Ends early when one fails, which is noted in the entry. */
export async function runBlock(
  entry: Runner,
  concurrency: number,
  wanted: number,
  signal: AbortSignal,
): Promise<BlockResult> {
  const runs = Math.max(concurrency, Math.ceil(wanted))
  const samples: number[] = []
  const busyBefore = await machineBusyMs()
  const start = performance.now()
  let left = runs
  const worker = async () => {
    while (left-- > 0 && entry.result.failed === undefined && !signal.aborted) {
      const ms = await timed(entry)
      if (!Number.isNaN(ms)) samples.push(ms)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  const wallMs = performance.now() - start
  const machineBusyMsPerRun = ((await machineBusyMs()) - busyBefore) / samples.length
  return { concurrency, samples, wallMs, perSecond: (samples.length * 1_000) / wallMs, machineBusyMsPerRun }
}
