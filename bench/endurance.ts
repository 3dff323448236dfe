// SPDX-License-Identifier: MIT
import { setTimeout as delay } from 'node:timers/promises'
import type { EnduranceResult, Job } from './job.ts'
import { type HostSnapshot, takeSnapshot } from './leftovers.ts'
import type { Subject } from './subject.ts'
import { describeError, SubjectPool } from './subject-pool.ts'

const kWarmupRuns = 50
const kSettleMs = 1_000

/** P5: many runs one after the other; what they cost at the end, and what they leave behind. */
export async function measureEndurance(
  job: Job & { kind: 'endurance' },
  signal: AbortSignal,
): Promise<EnduranceResult> {
  const pool = await SubjectPool.open([job.subject], job.directory, job.packageRoot)
  const { subject, skipped, failed } = pool.prepared[0] ?? {}
  const result: EnduranceResult = {
    kind: 'endurance',
    subject: job.subject,
    durations: [],
    ...(skipped === undefined ? {} : { skipped }),
    ...(failed === undefined ? {} : { failed }),
  }
  let before: HostSnapshot | undefined
  try {
    if (subject !== undefined) before = await runMany(subject, job, result, signal)
  } catch (error) {
    result.failed = describeError(error)
  } finally {
    await pool.close()
  }
  if (before !== undefined) await lookAgain(job.directory, before, result)
  return result
}

async function runMany(
  subject: Subject,
  job: Job & { kind: 'endurance' },
  result: EnduranceResult,
  signal: AbortSignal,
): Promise<HostSnapshot> {
  // Written in place: a list that grows during the runs would be growth of the benchmark's own.
  const durations = new Float64Array(job.runs)
  for (let run = 0; run < kWarmupRuns; run++) {
    await subject.trial()
    await subject.afterTrial?.()
  }
  const before = await settledSnapshot(job.directory)
  let done = 0
  try {
    for (; done < job.runs && !signal.aborted; done++) {
      const start = performance.now()
      await subject.trial()
      durations[done] = performance.now() - start
      await subject.afterTrial?.()
    }
  } finally {
    result.before = before.counts
    result.after = (await settledSnapshot(job.directory)).counts
    result.durations = [...durations.subarray(0, done)]
  }
  return before
}

/** Names what the runs and the subject itself left behind, once it has been disposed of. */
async function lookAgain(directory: string, before: HostSnapshot, result: EnduranceResult): Promise<void> {
  const closed = await settledSnapshot(directory)
  result.closed = closed.counts
  result.newNames = [...closed.names].filter((name) => !before.names.has(name)).slice(0, 50)
}

/** Waits for teardown that goes on in the background, collects garbage, and looks. */
async function settledSnapshot(directory: string): Promise<HostSnapshot> {
  await takeSnapshot(directory)
  await delay(kSettleMs)
  // Twice: the first collection only queues the finalizers of native objects.
  for (let count = 0; count < 2; count++) {
    globalThis.gc?.()
    await delay(10)
  }
  return takeSnapshot(directory)
}
