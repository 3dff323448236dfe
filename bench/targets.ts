// SPDX-License-Identifier: MIT
import type { EnduranceResult, EventLoopResult, JobResult, LatencyResult, TransferResult, UnpackResult } from './job.ts'
import { decileDrift, median, pairedRatio } from './statistics.ts'
import { formatMs } from './table.ts'
import { kOurTransfers } from './transfer-report.ts'

/** A target and what was measured for it; `value` is undefined where a subject is missing. */
export interface TargetResult {
  id: string
  what: string
  limit: number
  atLeast: boolean
  value: number | undefined
  unit: string
}

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

/** Writes one line per target. */
export function formatTargets(targets: readonly TargetResult[]): string {
  return targets.map(formatTarget).join('\n')
}

function latencyTargets(result: LatencyResult): TargetResult[] {
  const small = result.residentTargetBytes < kSmallBytes
  const size = `${Math.round(result.residentTargetBytes / 1e6)} MB`
  const samples = (name: string) => result.subjects.find((subject) => subject.name === name)?.interleaved ?? []
  const ratio = (of: string, to: string) => pairedRatio(samples(of), samples(to))?.ratio
  const toSpawn = atMost('P1', `wherry / spawn at ${size}`, small ? 1 : 0.3, ratio('wherry', 'spawn'), '×')
  if (!small) return [toSpawn]
  return [
    toSpawn,
    { ...atMost('P1', `crun / wherry at ${size}`, 8, ratio('crun', 'wherry'), '×'), atLeast: true },
    { ...atMost('P1', `dockerd / wherry at ${size}`, 100, ratio('dockerd', 'wherry'), '×'), atLeast: true },
  ]
}

function enduranceTargets({ durations, before, after }: EnduranceResult): TargetResult[] {
  if (before === undefined || after === undefined) return []
  const grown = after.residentBytes - before.residentBytes
  const kLeaks = ['descendants', 'fds', 'helperFds', 'mounts', 'cgroups', 'directories', 'namespaces'] as const
  const leaked = kLeaks.reduce((sum, key) => sum + Math.max(0, after[key] - before[key]), 0)
  return [
    atMost('P5', 'median of the last tenth / first tenth', 1.1, decileDrift(durations).ratio, '×'),
    atMost('P5', 'growth of resident memory', 8, grown / 1e6, 'MB'),
    atMost('P5', 'things left behind', 0, leaked, ''),
  ]
}

function unpackTargets({ rows }: UnpackResult): TargetResult[] {
  return rows.map(({ place, work, durable, tar, wherry }) => {
    const what = `wherry / GNU tar, ${work}, ${place}${durable ? ', synced' : ''}`
    return atMost('P3', what, 1, pairedRatio(wherry, tar)?.ratio, '×')
  })
}

function transferTargets({ rows, idle }: TransferResult): TargetResult[] {
  return rows.flatMap(({ work, image, samples, loops }) => {
    const ratioTo = (peer: string) => pairedRatio(samples[kOurTransfers[work]] ?? [], samples[peer] ?? [])?.ratio
    const p99 = loops.length === 0 ? undefined : median(loops.map((loop) => loop.p99))
    const above = p99 === undefined || idle === undefined ? undefined : p99 - idle.p99
    const loop = atMost('P6', `event-loop delay p99 above idle, ${work} of ${image}`, 5, above, 'ms')
    if (work === 'push')
      return [atMost('P3', `wherry push / skopeo copy, ${image}`, 1, ratioTo('skopeo copy'), '×'), loop]
    return [
      atMost('P3', `wherry pull / podman pull, ${image}`, 0.5, ratioTo('podman pull'), '×'),
      atMost('P3', `wherry pull / GNU tar, ${image}`, 1, ratioTo('GNU tar of the layers'), '×'),
      loop,
    ]
  })
}

function eventLoopTargets({ idle, busy }: EventLoopResult): TargetResult[] {
  const value = idle === undefined || busy === undefined ? undefined : busy.p99 - idle.p99
  return [atMost('P6', 'event-loop delay p99 above idle', 5, value, 'ms')]
}

function atMost(id: string, what: string, limit: number, value: number | undefined, unit: string): TargetResult {
  return { id, what, limit, atLeast: false, value, unit }
}

function formatTarget({ id, what, limit, atLeast, value, unit }: TargetResult): string {
  const wanted = `${atLeast ? '≥' : '≤'} ${limit} ${unit}`.trim()
  if (value === undefined || !Number.isFinite(value)) return `${id}  ${what}: ${wanted}, not measured`
  const reached = atLeast ? value >= limit : value <= limit
  return `${id}  ${what}: ${wanted}, measured ${formatMs(value)} ${unit}`.trim() + (reached ? ' ✓' : ' ✗')
}
