// SPDX-License-Identifier: MIT
import { absenceNotes, absentRow, reasonOf } from './contest-report.ts'
import type { IdleMemoryResult, LeftoverCounts, ThroughputResult, ThroughputSubjectResult } from './job.ts'
import { summarize } from './statistics.ts'
import { formatMs, formatRatio, formatTable, numberColumns } from './table.ts'

const kCounts = ['descendants', 'fds', 'helperFds', 'mounts', 'cgroups', 'directories', 'namespaces'] as const

/** How many things more are there than before; `undefined` where nobody looked. */
export function leftBehind(before: LeftoverCounts | undefined, after: LeftoverCounts | undefined): number | undefined {
  if (before === undefined || after === undefined) return undefined
  return kCounts.reduce((sum, key) => sum + Math.max(0, after[key] - before[key]), 0)
}

/** Writes the answer to a `throughput` job as a titled table. */
export function formatThroughput({ subjects, idle }: ThroughputResult): string {
  const ours = subjects.find(({ name }) => name === 'wherry')
  const rows = subjects.map((subject) => throughputRow(subject, ours, idle?.p99))
  const atOnce = subjects.find(({ block }) => block !== undefined)?.block?.concurrency ?? 0
  const columns = numberColumns('subject', [
    'runs',
    'per second',
    'wherry / it',
    'median ms',
    'p99 ms',
    'left behind',
    'loop p99 above idle ms',
  ])
  return `P4, ${atOnce} containers at once\n\n${formatTable(columns, rows)}${absenceNotes(subjects)}`
}

function throughputRow(
  subject: ThroughputSubjectResult,
  ours: ThroughputSubjectResult | undefined,
  idleMs = Number.NaN,
): string[] {
  const { name, block, loop, before, after } = subject
  if (reasonOf(subject) !== undefined || block === undefined) return absentRow(name)
  const { median, p99 } = summarize(block.samples)
  const ratio = name === 'wherry' ? Number.NaN : (ours?.block?.perSecond ?? Number.NaN) / block.perSecond
  return [
    name,
    String(block.samples.length),
    formatMs(block.perSecond),
    formatRatio(ratio),
    formatMs(median),
    formatMs(p99),
    String(leftBehind(before, after) ?? '–'),
    formatMs((loop?.p99 ?? Number.NaN) - idleMs),
  ]
}

/** Writes the answer to an `idle-memory` job as a titled table. */
export function formatIdleMemory({ rows }: IdleMemoryResult): string {
  const lines = rows.map((row) => {
    const { name, containers, bytesPerContainer } = row
    if (bytesPerContainer === undefined) return absentRow(name)
    return [name, String(containers), (bytesPerContainer / 1e3).toFixed(0)]
  })
  const title = 'P7, memory per idle container beyond its own processes (proportional set size)'
  return `${title}\n\n${formatTable(numberColumns('subject', ['containers', 'KB each']), lines)}${absenceNotes(rows)}`
}
