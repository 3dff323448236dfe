// SPDX-License-Identifier: MIT
import { formatMs } from './table.ts'

/** A target and what was measured for it. Without a value it was not measured, and is not reached. */
export interface TargetResult {
  id: string
  what: string
  limit: number
  atLeast: boolean
  value: number | undefined
  unit: string
  /** Why there is no value. */
  reason?: string
}

/** Makes a target that is reached when the value is at most `limit`; a text is the reason why there is none. */
export function atMost(
  id: string,
  what: string,
  limit: number,
  value: number | string | undefined,
  unit: string,
): TargetResult {
  const target = { id, what, limit, atLeast: false, unit }
  return typeof value === 'string' ? { ...target, value: undefined, reason: value } : { ...target, value }
}

/** Makes a target that is reached when the value is at least `limit`. */
export function atLeast(...args: Parameters<typeof atMost>): TargetResult {
  return { ...atMost(...args), atLeast: true }
}

/** Writes one line per target. */
export function formatTargets(targets: readonly TargetResult[]): string {
  return targets.map(formatTarget).join('\n')
}

function formatTarget({ id, what, limit, atLeast, value, unit, reason }: TargetResult): string {
  const wanted = `${atLeast ? '≥' : '≤'} ${limit} ${unit}`.trim()
  if (value === undefined || !Number.isFinite(value)) {
    return `${id}  ${what}: ${wanted}, not measured${reason === undefined ? '' : `: ${reason}`}`
  }
  const reached = atLeast ? value >= limit : value <= limit
  return `${id}  ${what}: ${wanted}, measured ${formatMs(value)} ${unit}`.trim() + (reached ? ' ✓' : ' ✗')
}
