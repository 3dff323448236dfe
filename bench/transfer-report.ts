// SPDX-License-Identifier: MIT
import type { TransferResult, TransferRow } from './job.ts'
import { pairedRatio, summarize } from './statistics.ts'
import { type Column, formatMs, formatRatio, formatTable } from './table.ts'

/** The subject that is ours, by the kind of work. */
export const kOurTransfers = { pull: 'wherry pull', push: 'wherry push' } as const

/** Writes the answer to a `transfer` job as titled tables: medians, and how many times as long as ours the others take. */
export function formatTransfer({ rows, idle, skipped, failed }: TransferResult): string {
  const columns: Column[] = [
    ...['image', 'how'].map((title): Column => ({ title, align: 'left' })),
    ...['runs', 'median ms', 'min ms', '× wherry', '95 %'].map((title): Column => ({ title, align: 'right' })),
  ]
  const table = formatTable(columns, rows.flatMap(rowsOf))
  const delays = rows
    .map(
      ({ work, image, loops }) =>
        `- event loop, ${work} of ${image}: p99 ${middleP99(loops)} ms (median of the trials)`,
    )
    .join('\n')
  const idleNote = idle === undefined ? '' : ` (idle: ${formatMs(idle.p99)} ms, 1 ms of sampling included)`
  const note =
    failed !== undefined ? `\n\n- failed: ${failed}` : skipped !== undefined ? `\n\n- skipped: ${skipped}` : ''
  return `P3, a registry on loopback; pulls end with files that can be run\n\n${table}\n\n${delays}${idleNote}${note}`
}

function rowsOf({ work, image, samples }: TransferRow): string[][] {
  const ours = samples[kOurTransfers[work]] ?? []
  return Object.entries(samples).map(([name, own]) => {
    const { count, median, min } = summarize(own.map(({ ms }) => ms))
    const ratio = pairedRatio(own, ours)
    const range = ratio === undefined ? '–' : `${formatMs(ratio.low)}–${formatMs(ratio.high)}`
    return [image, name, String(count), formatMs(median), formatMs(min), formatRatio(ratio?.ratio ?? Number.NaN), range]
  })
}

function middleP99(loops: TransferRow['loops']): string {
  return formatMs(summarize(loops.map(({ p99 }) => p99)).median)
}
