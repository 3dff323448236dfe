// SPDX-License-Identifier: MIT
import { reasonOf } from './contest-report.ts'
import type { EnduranceResult, EventLoopResult, JobResult, LatencyResult } from './job.ts'
import { transferTargets, unpackTargets } from './p3-targets.ts'
import { decileDrift, pairedRatio } from './statistics.ts'
import { atLeast, atMost, type TargetResult } from './target.ts'

/** Below this many bytes an embedding process counts as the small one. */
const kSmallBytes = 200e6

/** Compares the results with the targets. Nothing fails on the answer: it is told, not enforced. */
export function judgeTargets(results: readonly JobResult[]): TargetResult[] {
  return results.flatMap((result) => {
    if (result.kind === 'latency') return latencyTargets(result)
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
    const absent = own === undefined ? of : other === undefined ? to : undefined
    const left = absent === undefined ? undefined : `${absent} is not among the subjects`
    const reason = left ?? reasonOf(own ?? {}) ?? reasonOf(other ?? {})
    return reason ?? pairedRatio(own?.interleaved ?? [], other?.interleaved ?? [])?.ratio
  }
  const toSpawn = atMost('P1', `wherry / spawn at ${size}`, small ? 1 : 0.3, ratio('wherry', 'spawn'), '×')
  if (!small) return [toSpawn]
  return [
    toSpawn,
    atLeast('P1', `crun / wherry at ${size}`, 8, ratio('crun', 'wherry'), '×'),
    atLeast('P1', `dockerd / wherry at ${size}`, 100, ratio('dockerd', 'wherry'), '×'),
  ]
}

function enduranceTargets(result: EnduranceResult): TargetResult[] {
  const { durations, before, after } = result
  const reason = reasonOf(result)
  const isWhole = reason === undefined && before !== undefined && after !== undefined
  const kLeaks = ['descendants', 'fds', 'helperFds', 'mounts', 'cgroups', 'directories', 'namespaces'] as const
  const grown = isWhole ? (after.residentBytes - before.residentBytes) / 1e6 : reason
  const leaked = isWhole ? kLeaks.reduce((sum, key) => sum + Math.max(0, after[key] - before[key]), 0) : reason
  return [
    atMost('P5', 'median of the last tenth / first tenth', 1.1, isWhole ? decileDrift(durations).ratio : reason, '×'),
    atMost('P5', 'growth of resident memory', 8, grown, 'MB'),
    atMost('P5', 'things left behind', 0, leaked, ''),
  ]
}

function eventLoopTargets(result: EventLoopResult): TargetResult[] {
  const { idle, busy } = result
  const measured = idle === undefined || busy === undefined ? undefined : busy.p99 - idle.p99
  return [atMost('P6', 'event-loop delay p99 above idle', 5, reasonOf(result) ?? measured, 'ms')]
}
