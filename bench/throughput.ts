// SPDX-License-Identifier: MIT
import { setTimeout as delay } from 'node:timers/promises'
import { watchLoop } from './event-loop.ts'
import type { Job, ThroughputResult, ThroughputSubjectResult } from './job.ts'
import { runBlock } from './latency.ts'
import { takeSnapshot } from './leftovers.ts'
import { seededRandom, shuffled } from './random.ts'
import type { Subject } from './subject.ts'
import { describeError, SubjectPool } from './subject-pool.ts'

type ThroughputJob = Job & { kind: 'throughput' }

const kIdleMs = 1_000
const kSettleMs = 1_000

/** P4: many containers, so many at once; how fast, what is left of them, and how the embedding process fares. */
export async function measureThroughput(job: ThroughputJob, signal: AbortSignal): Promise<ThroughputResult> {
  const pool = await SubjectPool.open(job.subjects, job.directory, job.packageRoot)
  try {
    const result: ThroughputResult = { kind: 'throughput', idle: await watchLoop(() => delay(kIdleMs)), subjects: [] }
    const entries: { subject: Subject; part: ThroughputSubjectResult }[] = []
    for (const { subject, ...state } of pool.prepared) {
      const part: ThroughputSubjectResult = { ...state }
      result.subjects.push(part)
      if (subject !== undefined) entries.push({ subject, part })
    }
    for (const { subject, part } of shuffled(entries, seededRandom(job.seed))) {
      if (!signal.aborted) await measureOne(subject, part, job, signal)
    }
    return result
  } finally {
    await pool.close()
  }
}

async function measureOne(
  subject: Subject,
  part: ThroughputSubjectResult,
  { directory, runs, concurrency }: ThroughputJob,
  signal: AbortSignal,
): Promise<void> {
  const entry = { subject, result: part }
  try {
    // Once without counting: what is made ahead for so many at once is there then, and its room in memory.
    await runBlock(entry, concurrency, concurrency, signal)
    await delay(kSettleMs)
    part.before = (await takeSnapshot(directory)).counts
    part.loop = await watchLoop(async () => {
      part.block = await runBlock(entry, concurrency, runs, signal)
    })
    await delay(kSettleMs)
    part.after = (await takeSnapshot(directory)).counts
  } catch (error) {
    part.failed = describeError(error)
  }
}
