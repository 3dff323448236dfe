// SPDX-License-Identifier: MIT
import type { ContainerFilters, EventFilters, ImageFilters, VolumeFilters } from '../../index.ts'
import { CliError, kFlagError } from '../errors.ts'

/** Filters of `wherry images` and `wherry image prune`, by Docker's words. */
const kListFields = { reference: 'list', label: 'list', 'label!': 'list', dangling: 'boolean' } as const
const kTextFields = ['before', 'since', 'until'] as const

/**
 * Turns `--filter key=value`, given several times, into what the library takes.
 *
 * @throws {CliError} naming the filter.
 */
export function parseImageFilters(filters: readonly string[]): ImageFilters {
  const result: Record<string, unknown> = {}
  for (const filter of filters) {
    const { key, value } = splitFilter(filter)
    if (key === 'dangling') result.dangling = booleanOf(filter, value)
    else if (kTextFields.some((name) => name === key)) result[key] = value
    else if (Object.hasOwn(kListFields, key)) append(result, key === 'label!' ? 'notLabel' : key, value)
    else throw unknownFilter(key, [...Object.keys(kListFields), ...kTextFields])
  }
  return result as ImageFilters
}

/** What `--filter` of a search says of a repository. */
export interface SearchFilter {
  readonly minStars: number
  readonly isOfficial: boolean | undefined
}

/** @throws {CliError} naming the filter. */
export function parseSearchFilters(filters: readonly string[]): SearchFilter {
  let minStars = 0
  let isOfficial: boolean | undefined
  for (const filter of filters) {
    const { key, value } = splitFilter(filter)
    if (key === 'is-official') isOfficial = booleanOf(filter, value)
    else if (key !== 'stars') throw unknownFilter(key, ['is-official', 'stars'])
    else minStars = numberOf(filter, value)
  }
  return { minStars, isOfficial }
}

const kContainerFilters = ['status', 'name', 'id', 'label', 'exited', 'ancestor'] as const

/**
 * Turns `--filter` of `wherry ps` and `wherry container prune` into what the library takes.
 *
 * @param known - Docker's words for those that the command has
 * @throws {CliError} naming the filter.
 */
export function parseContainerFilters(
  filters: readonly string[],
  known: readonly string[] = kContainerFilters,
): ContainerFilters {
  const result: Record<string, unknown> = {}
  for (const filter of filters) {
    const { key, value } = splitFilter(filter)
    if (!known.includes(key)) throw unknownFilter(key, known)
    if (key === 'status' || key === 'label') append(result, key, value)
    else if (result[key] !== undefined || (key === 'exited' && result.exitCode !== undefined)) throw twice(key)
    else if (key === 'exited') result.exitCode = numberOf(filter, value)
    else if (key === 'name' && /[\^$*]/.test(value)) {
      const hint = `--filter name=${value.replace(/[^\w.-]/g, '')}`
      throw new CliError(`The filter '${filter}' must be a part of the name: patterns are not supported.`, {
        exitCode: kFlagError,
        hint,
      })
    } else result[key] = value
  }
  return result as ContainerFilters
}

const kVolumeFilters = ['name', 'label', 'dangling'] as const

/**
 * Turns `--filter` of `wherry volume ls` and `wherry volume prune` into what the library takes.
 *
 * @param known - Docker's words for those that the command has
 * @throws {CliError} naming the filter.
 */
export function parseVolumeFilters(
  filters: readonly string[],
  known: readonly string[] = kVolumeFilters,
): VolumeFilters {
  const result: Record<string, unknown> = {}
  for (const filter of filters) {
    const { key, value } = splitFilter(filter)
    if (!known.includes(key)) throw unknownFilter(key, known)
    if (key === 'label') append(result, key, value)
    else if (result[key] !== undefined) throw twice(key)
    else result[key] = key === 'dangling' ? booleanOf(filter, value) : value
  }
  return result as VolumeFilters
}

const kEventFilters = ['type', 'event', 'container', 'image', 'volume', 'label'] as const

/** Turns `--filter` of `wherry events` into what the library takes. @throws {CliError} naming the filter. */
export function parseEventFilters(filters: readonly string[]): EventFilters {
  const result: Record<string, unknown> = {}
  for (const filter of filters) {
    const { key, value } = splitFilter(filter)
    if (!kEventFilters.some((known) => known === key)) throw unknownFilter(key, kEventFilters)
    append(result, key === 'event' ? 'action' : key, value)
  }
  return result as EventFilters
}

function twice(key: string): CliError {
  return new CliError(`The filter '${key}' can be given once.`, { exitCode: kFlagError })
}

function numberOf(filter: string, value: string): number {
  if (/^\d+$/.test(value)) return Number(value)
  throw new CliError(`The filter '${filter}' must have a number.`, { exitCode: kFlagError })
}

function splitFilter(filter: string): { key: string; value: string } {
  // `label!=key` is Docker's for an image without the label.
  const match = /^(label!|[a-z-]+)=(.+)$/s.exec(filter)
  if (match === null)
    throw new CliError(`The filter '${filter}' is not of the form key=value.`, { exitCode: kFlagError })
  return { key: match[1] ?? '', value: match[2] ?? '' }
}

function booleanOf(filter: string, value: string): boolean {
  if (/^(true|1)$/i.test(value)) return true
  if (/^(false|0)$/i.test(value)) return false
  throw new CliError(`The filter '${filter}' must be true or false.`, { exitCode: kFlagError })
}

function append(result: Record<string, unknown>, key: string, value: string): void {
  result[key] = [...((result[key] as string[] | undefined) ?? []), value]
}

function unknownFilter(key: string, known: readonly string[]): CliError {
  return new CliError(`There is no filter '${key}'.`, { exitCode: kFlagError, hint: `filters are ${known.join(', ')}` })
}
