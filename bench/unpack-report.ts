// SPDX-License-Identifier: MIT
import type { UnpackResult } from './job.ts'
import { pairedRatio, summarize } from './statistics.ts'
import { type Column, formatMs, formatRatio, formatTable } from './table.ts'

const kTitles = ['runs', 'tar ms', 'wherry ms', '× tar', '95 %']

/** Writes the answer to an `unpack` job as a titled table: medians. */
export function formatUnpack({ rows, skipped, failed }: UnpackResult): string {
  const columns: Column[] = [
    ...['layers', 'place', 'ends'].map((title): Column => ({ title, align: 'left' })),
    ...kTitles.map((title): Column => ({ title, align: 'right' })),
  ]
  const cells = rows.map(({ work, place, durable, tar, wherry }) => {
    const ratio = pairedRatio(wherry, tar)
    return [
      work,
      place,
      durable ? 'on the disk' : 'written',
      String(wherry.length),
      ...[tar, wherry].map((samples) => formatMs(summarize(samples.map(({ ms }) => ms)).median)),
      formatRatio(ratio?.ratio ?? Number.NaN),
      ratio === undefined ? '–' : `${formatMs(ratio.low)}–${formatMs(ratio.high)}`,
    ]
  })
  const note =
    failed !== undefined ? `\n\n- failed: ${failed}` : skipped !== undefined ? `\n\n- skipped: ${skipped}` : ''
  return `P3, layers unpacked (digests verified) beside GNU tar -xpf\n\n${formatTable(columns, cells)}${note}`
}
