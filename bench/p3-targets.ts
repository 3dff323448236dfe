// SPDX-License-Identifier: MIT
import { reasonOf, samplesOf } from './contest-report.ts'
import type { ContenderResult, TransferResult, TransferRow, UnpackResult } from './job.ts'
import { kUnpackNames } from './p3-names.ts'
import { median, pairedRatio } from './statistics.ts'
import { atMost, type TargetResult } from './target.ts'
import { kTransferRules } from './transfer-report.ts'
import { kUnpackLimits } from './unpack-report.ts'

const kLoopLimitMs = 5

/** Judges an `unpack` job: one line per row, or one that says why there is none. */
export function unpackTargets(result: UnpackResult): TargetResult[] {
  const { ours, tar } = kUnpackNames
  const limit = kUnpackLimits[tar]
  const whole = reasonOf(result)
  const rows = result.rows.map((row) => {
    const what = `${ours} / ${tar}, ${row.layers}, ${row.place}`
    return atMost('P3', what, limit, ratioOrReason(row.contenders, ours, tar, reasonOf(row)), '×')
  })
  return whole === undefined ? rows : [...rows, atMost('P3', `${ours} / ${tar}`, limit, whole, '×')]
}

/** Judges a `transfer` job: a line per peer with a limit and one for the event loop, or one that says why there is none. */
export function transferTargets(result: TransferResult): TargetResult[] {
  const whole = reasonOf(result)
  const rows = result.rows.flatMap((row) => [...ratioTargets(row), loopTarget(row, result)])
  if (whole === undefined) return rows
  const missing = (['pull', 'push'] as const).flatMap((work) =>
    ratioTargets({ work, image: '', contenders: [] }, whole),
  )
  return [...rows, ...missing]
}

function ratioTargets({ work, image, contenders }: Omit<TransferRow, 'kept'>, reason?: string): TargetResult[] {
  const { ours, limits } = kTransferRules[work]
  return Object.entries(limits).map(([peer, limit]) => {
    const what = [`${ours} / ${peer}`, image].filter(Boolean).join(', ')
    return atMost('P3', what, limit, ratioOrReason(contenders, ours, peer, reason), '×')
  })
}

function loopTarget({ work, image, contenders }: TransferRow, { idle }: TransferResult): TargetResult {
  const ours = contenders.find(({ name }) => name === kTransferRules[work].ours)
  const loops = ours?.loops ?? []
  const measured = loops.length === 0 || idle === undefined ? undefined : median(loops.map(({ p99 }) => p99)) - idle.p99
  const value = measured ?? (ours === undefined ? undefined : reasonOf(ours))
  return atMost('P6', `event-loop delay p99 above idle, ${work} of ${image}`, kLoopLimitMs, value, 'ms')
}

/** The ratio of two subjects; when one has no figures, its reason. */
function ratioOrReason(
  contenders: readonly ContenderResult[],
  of: string,
  to: string,
  whole: string | undefined,
): number | string | undefined {
  if (whole !== undefined) return whole
  for (const contender of contenders.filter(({ name }) => name === of || name === to)) {
    const reason = reasonOf(contender)
    if (reason !== undefined) return reason
  }
  return pairedRatio(samplesOf(contenders, of), samplesOf(contenders, to))?.ratio
}
