// SPDX-License-Identifier: MIT
import { reasonOf } from './contest-report.ts'
import type {
  Absence,
  EnduranceResult,
  EventLoopResult,
  IdleMemoryResult,
  JobResult,
  LatencyResult,
  ThroughputResult,
} from './job.ts'
import { transferTargets, unpackTargets } from './p3-targets.ts'
import { decileDrift, pairedRatio } from './statistics.ts'
import { atLeast, atMost, type TargetResult } from './target.ts'
import { leftBehind } from './throughput-report.ts'

/** Below this many bytes an embedding process counts as the small one. */
const kSmallBytes = 200e6

/** Compares the results with the targets. Nothing fails on the answer: it is told, not enforced. */
export function judgeTargets(results: readonly JobResult[]): TargetResult[] {
  return results.flatMap((result) => {
    if (result.kind === 'latency') return latencyTargets(result)
    if (result.kind === 'throughput') return throughputTargets(result)
    if (result.kind === 'idle-memory') return idleMemoryTargets(result)
    if (result.kind === 'unpack') return unpackTargets(result)
    if (result.kind === 'transfer') return transferTargets(result)
    if (result.subject !== 'wherry') return []
    return result.kind === 'endurance' ? enduranceTargets(result) : eventLoopTargets(result)
  })
}

function latencyTargets(result: LatencyResult): TargetResult[] {
  const small = result.residentTargetBytes < kSmallBytes
  // Not the size that was asked for: what the subjects themselves need may be more.
  const size = `${Math.round(result.residentBytes / 1e6)} MB`
  const find = (name: string) => result.subjects.find((subject) => subject.name === name)
  const ratio = (of: string, to: string): number | string | undefined => {
    const [own, other] = [find(of), find(to)]
    // Trials before a failure do not count: the subject did other work than it says.
    const reason = whyMissing(own, of) ?? whyMissing(other, to)
    return reason ?? pairedRatio(own?.interleaved ?? [], other?.interleaved ?? [])?.ratio
  }
  if (result.work === 'exec') {
    return [
      atMost('P2', `wherry exec / spawn at ${size}`, 0.7, ratio('wherry', 'spawn'), '×'),
      atLeast('P2', `crun exec / wherry exec at ${size}`, 10, ratio('crun', 'wherry'), '×'),
    ]
  }
  const toSpawn = atMost('P1', `wherry / spawn at ${size}`, small ? 1 : 0.3, ratio('wherry', 'spawn'), '×')
  if (!small) return [toSpawn]
  return [
    toSpawn,
    atLeast('P1', `crun / wherry at ${size}`, 8, ratio('crun', 'wherry'), '×'),
    atLeast('P1', `dockerd / wherry at ${size}`, 100, ratio('dockerd', 'wherry'), '×'),
  ]
}

/** Why there are no figures of a subject; undefined when there are. */
function whyMissing(subject: Absence | undefined, name: string): string | undefined {
  return subject === undefined ? `${name} is not among the subjects` : reasonOf(subject)
}

function throughputTargets({ subjects, idle }: ThroughputResult): TargetResult[] {
  const [ours, crun] = ['wherry', 'crun'].map((name) => subjects.find((subject) => subject.name === name))
  const missing = whyMissing(ours, 'wherry')
  const ratio = (ours?.block?.perSecond ?? Number.NaN) / (crun?.block?.perSecond ?? Number.NaN)
  const loop = idle === undefined || ours?.loop === undefined ? undefined : ours.loop.p99 - idle.p99
  return [
    atLeast(
      'P4',
      `wherry / crun, containers a second, ${ours?.block?.concurrency ?? 0} at once`,
      10,
      missing ?? whyMissing(crun, 'crun') ?? ratio,
      '×',
    ),
    atMost('P4', 'things left behind', 0, missing ?? leftBehind(ours?.before, ours?.after), ''),
    atMost('P6', 'event-loop delay p99 above idle, many containers at once', 5, missing ?? loop, 'ms'),
  ]
}

function idleMemoryTargets({ rows }: IdleMemoryResult): TargetResult[] {
  const ours = rows.find(({ name }) => name === 'wherry')
  const kilobytes = ours?.bytesPerContainer === undefined ? undefined : ours.bytesPerContainer / 1e3
  return [
    atMost(
      'P7',
      'memory per idle container beyond its own processes',
      100,
      whyMissing(ours, 'wherry') ?? kilobytes,
      'KB',
    ),
  ]
}

function enduranceTargets(result: EnduranceResult): TargetResult[] {
  const { durations, before, after } = result
  const reason = reasonOf(result)
  const isWhole = reason === undefined && before !== undefined && after !== undefined
  const grown = isWhole ? (after.residentBytes - before.residentBytes) / 1e6 : reason
  const leaked = isWhole ? leftBehind(before, after) : reason
  return [
    atMost('P5', 'median of the last tenth / first tenth', 1.1, isWhole ? decileDrift(durations).ratio : reason, '×'),
    atMost('P5', 'growth of resident memory', 8, grown, 'MB'),
    atMost('P5', 'things left behind', 0, leaked, ''),
  ]
}

function eventLoopTargets(result: EventLoopResult): TargetResult[] {
  const { idle, busy } = result
  const measured = idle === undefined || busy === undefined ? undefined : busy.p99 - idle.p99
  const what = `event-loop delay p99 above idle${result.work === 'exec' ? ', programs in a running container' : ''}`
  return [atMost('P6', what, 5, reasonOf(result) ?? measured, 'ms')]
}
