// SPDX-License-Identifier: MIT
import { InvalidArgumentError } from 'commander'

const kUnitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/**
 * Reads a moment as Docker has it: a date such as `2026-01-31T12:00:00Z`, seconds since 1970, or a time ago such as `1h30m`.
 *
 * @returns milliseconds since 1970
 */
export function parseMoment(text: string, nowMs = Date.now()): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  if (/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) {
    const parts = [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)]
    return nowMs - parts.reduce((sum, [, count, unit]) => sum + Number(count) * (kUnitMs[unit ?? ''] ?? 0), 0)
  }
  const ms = /^\d{4}-/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms)) {
    throw new InvalidArgumentError('It must be a date (2026-01-31T12:00:00Z), seconds since 1970, or a time ago (10m).')
  }
  return ms
}
