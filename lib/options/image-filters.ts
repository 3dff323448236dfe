// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import { compileReferencePattern } from '../oci/reference-pattern.ts'
import { checkBoolean, checkList, checkObject, checkString } from './checks.ts'
import { hasLabel } from './labels.ts'

/** Which images to take; all that is given must fit. The words are those of `docker images --filter`. */
export interface ImageFilters {
  /**
   * Patterns of names, of which one must fit: `*` and `?` stop at slashes. `alpine` is every tag of alpine, `*` every name without
   * a slash, `ghcr.io/*&#47;*:v1*` and the like.
   */
  reference?: string | readonly string[] | undefined
  /** `true`: only images without name; `false`: only those with one. */
  dangling?: boolean | undefined
  /** Labels that must all be there, `key` or `key=value`. */
  label?: string | readonly string[] | undefined
  /** Labels of which none may be there, `key` or `key=value`. */
  notLabel?: string | readonly string[] | undefined
  /** Only images that were made before this one: a reference or id. */
  before?: string | undefined
  /** Only images that were made after this one: a reference or id. */
  since?: string | undefined
  /** Only images that were made before this moment: a date, its ISO form, or an age such as `24h` or `1h30m`. */
  until?: Date | string | undefined
}

/** Facts of an image that filters look at. */
export interface ImageFacts {
  readonly references: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  /** Milliseconds since the epoch; 0 where the image does not say. */
  readonly createdMs: number
}

/** Filters that were checked. */
export interface CheckedFilters {
  /** Names of the images that `fits` wants the dates of. */
  readonly before: string | undefined
  readonly since: string | undefined
  /** @param beforeMs, sinceMs - dates of the images named. */
  fits(image: ImageFacts, dates?: { beforeMs?: number; sinceMs?: number }): boolean
}

const kFilterNames = [
  'reference',
  'dangling',
  'label',
  'notLabel',
  'before',
  'since',
  'until',
] as const satisfies readonly (keyof ImageFilters)[]

/**
 * Checks filters.
 *
 * @param nowMs - what ages count from.
 * @throws {InvalidOptionError}
 */
export function checkImageFilters(value: unknown, nowMs: number): CheckedFilters {
  const given: Record<string, unknown> = value === undefined ? {} : checkObject('filters', value, kFilterNames)
  const patterns = given.reference === undefined ? undefined : checkList('filters.reference', given.reference)
  const matchers = patterns?.map((pattern) => compileReferencePattern('filters.reference', pattern))
  const dangling = given.dangling === undefined ? undefined : checkBoolean('filters.dangling', given.dangling, false)
  const labels = checkList('filters.label', given.label)
  const notLabels = checkList('filters.notLabel', given.notLabel)
  const untilMs = given.until === undefined ? undefined : checkUntil('filters.until', given.until, nowMs)
  const before = given.before === undefined ? undefined : checkString('filters.before', given.before)
  const since = given.since === undefined ? undefined : checkString('filters.since', given.since)
  const fits: CheckedFilters['fits'] = ({ references, labels: own, createdMs }, { beforeMs, sinceMs } = {}) =>
    (matchers === undefined || references.some((reference) => matchers.some((matches) => matches(reference)))) &&
    (dangling === undefined || dangling === (references.length === 0)) &&
    labels.every((label) => hasLabel(own, label)) &&
    !notLabels.some((label) => hasLabel(own, label)) &&
    (untilMs === undefined || createdMs < untilMs) &&
    (beforeMs === undefined || createdMs < beforeMs) &&
    (sinceMs === undefined || createdMs > sinceMs)
  return { before, since, fits }
}

/** @returns a moment in milliseconds since the epoch. */
export function checkUntil(option: string, value: unknown, nowMs: number): number {
  const expected = "a Date, an ISO date such as '2026-01-31', or an age such as '24h'"
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.getTime()
  const text = checkString(option, value, expected)
  const ageMs = parseDuration(text)
  if (ageMs !== undefined) return nowMs - ageMs
  const dateMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(dateMs)) throw new InvalidOptionError(option, expected, value)
  return dateMs
}

const kUnitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

// Go's durations, as Docker takes them, and days.
function parseDuration(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|[smhd]))+$/.test(text)) return undefined
  const parts = text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)
  return [...parts].reduce((sum, [, count, unit]) => sum + Number(count) * (kUnitMs[unit ?? ''] ?? 0), 0)
}
