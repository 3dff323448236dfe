// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import { checkObject, checkString } from '../options/checks.ts'
import type { VolumeRecord } from './volume-store.ts'

/** Which volumes to list; all that is given must fit. */
export interface VolumeFilters {
  /** Part of the name. */
  name?: string | undefined
  /** `key` or `key=value`; of several, all must fit. */
  label?: string | readonly string[] | undefined
  /** Whether no container has it. */
  dangling?: boolean | undefined
}

/** @returns whether a volume fits. @throws {InvalidOptionError} */
export function checkVolumeFilters(
  filters: VolumeFilters | undefined,
  known: readonly (keyof VolumeFilters)[],
): (volume: VolumeRecord, isUsed: boolean) => boolean {
  if (filters === undefined) return () => true
  checkObject('filters', filters, known)
  const { dangling } = filters
  const name = filters.name === undefined ? '' : checkString('filters.name', filters.name)
  const given = filters.label === undefined ? [] : Array.isArray(filters.label) ? filters.label : [filters.label]
  const labels = given.map((label) => checkString('filters.label', label))
  if (dangling !== undefined && typeof dangling !== 'boolean') {
    throw new InvalidOptionError('filters.dangling', 'true or false', dangling)
  }
  return (volume, isUsed) =>
    volume.name.includes(name) &&
    (dangling === undefined || dangling === !isUsed) &&
    labels.every((label) => hasLabel(volume.labels, label))
}

function hasLabel(labels: VolumeRecord['labels'], wanted: string): boolean {
  const equals = wanted.indexOf('=')
  if (equals < 0) return Object.hasOwn(labels, wanted)
  return labels[wanted.slice(0, equals)] === wanted.slice(equals + 1)
}
