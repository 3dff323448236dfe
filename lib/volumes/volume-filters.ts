// SPDX-License-Identifier: MIT
import { checkBoolean, checkList, checkObject, checkString } from '../options/checks.ts'
import { hasLabel } from '../options/labels.ts'
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
  const dangling =
    filters.dangling === undefined ? undefined : checkBoolean('filters.dangling', filters.dangling, false)
  const name = filters.name === undefined ? '' : checkString('filters.name', filters.name)
  const labels = checkList('filters.label', filters.label)
  return (volume, isUsed) =>
    volume.name.includes(name) &&
    (dangling === undefined || dangling === !isUsed) &&
    labels.every((label) => hasLabel(volume.labels, label))
}
