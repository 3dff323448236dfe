// SPDX-License-Identifier: MIT
import { InvalidArgumentError } from 'commander'

/** Collects a flag that is given several times. */
export function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value]
}

export function parseBoolean(value: string): boolean {
  if (/^(true|1|t)$/i.test(value)) return true
  if (/^(false|0|f)$/i.test(value)) return false
  throw new InvalidArgumentError('It must be true or false.')
}

export function parseNumber(value: string): number {
  const number = Number(value)
  if (value.trim() === '' || !Number.isFinite(number)) throw new InvalidArgumentError('It must be a number.')
  return number
}

export function parseInteger(value: string): number {
  const number = parseNumber(value)
  if (!Number.isSafeInteger(number)) throw new InvalidArgumentError('It must be a whole number.')
  return number
}

export function parseSeconds(value: string): number {
  const seconds = parseNumber(value)
  if (seconds < 0) throw new InvalidArgumentError('It must be a number of seconds, 0 or more.')
  return seconds
}

const kUnitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** A duration as Go writes it: `30s`, `1m30s`, `500ms`. @returns milliseconds */
export function parseDuration(value: string): number {
  if (value === '0') return 0
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(value))
    throw new InvalidArgumentError('It must be a time such as 30s or 1m30s.')
  let sum = 0
  for (const [, number, unit = ''] of value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    sum += Number(number) * (kUnitsMs[unit] ?? 0)
  }
  return sum
}

/** `--format` takes one word so far; Docker's templates do not. */
export function parseFormat(value: string): 'json' | 'table' {
  if (value === 'json' || value === 'table') return value
  throw new InvalidArgumentError("It must be 'json' or 'table': templates are not supported.")
}
