// SPDX-License-Identifier: MIT
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import type { EventLoopResult, Job, LoopDelay } from './job.ts'
import { describeError, SubjectPool } from './subject-pool.ts'
import { catalogueOf } from './subjects/catalogue.ts'

const kWarmupRuns = 20

/** P6: how long the embedding process cannot answer, during runs and without them. */
export async function measureEventLoop(
  job: Job & { kind: 'event-loop' },
  signal: AbortSignal,
): Promise<EventLoopResult> {
  const pool = await SubjectPool.open([job.subject], job.directory, job.packageRoot, catalogueOf(job.work))
  const { subject, skipped, failed } = pool.prepared[0] ?? {}
  const result: EventLoopResult = {
    kind: 'event-loop',
    work: job.work,
    subject: job.subject,
    runs: 0,
    ...(skipped === undefined ? {} : { skipped }),
    ...(failed === undefined ? {} : { failed }),
  }
  try {
    if (subject === undefined) return result
    for (let run = 0; run < kWarmupRuns; run++) await subject.trial()
    result.idle = await watchLoop(() => delay(job.idleMs))
    result.busy = await watchLoop(async () => {
      for (; result.runs < job.runs && !signal.aborted; result.runs++) {
        await subject.trial()
        await subject.afterTrial?.()
      }
    })
  } catch (error) {
    result.failed = describeError(error)
  } finally {
    await pool.close()
  }
  return result
}

/** Delays of the event loop while `work` runs. */
export async function watchLoop(work: () => Promise<unknown>): Promise<LoopDelay> {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  try {
    await work()
  } finally {
    histogram.disable()
  }
  return readDelay(histogram)
}

function readDelay(histogram: IntervalHistogram): LoopDelay {
  const kNsPerMs = 1e6
  return {
    p50: histogram.percentile(50) / kNsPerMs,
    p99: histogram.percentile(99) / kNsPerMs,
    max: histogram.max / kNsPerMs,
  }
}
