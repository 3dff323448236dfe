// SPDX-License-Identifier: MIT
import { InvalidOptionError, InvalidReferenceError } from '../errors.ts'
import { Reference } from '../oci/reference.ts'
import { checkNumber, checkObject, checkString } from '../options/checks.ts'
import type { StoredContainer } from './container-store.ts'
import { labelsOf } from './labels.ts'
import type { ContainerStatus } from './record.ts'

/** Which containers to list; all that is given must fit. Lists are alternatives. */
export interface ContainerFilters {
  status?: ContainerStatus | readonly ContainerStatus[] | undefined
  /** Part of the name. */
  name?: string | undefined
  /** Start of the id. */
  id?: string | undefined
  /** `key` or `key=value`; of several, all must fit. */
  label?: string | readonly string[] | undefined
  /** Exit code of those that have ended. */
  exitCode?: number | undefined
  /** Id of the image or its start, or the name that the container was made from. */
  ancestor?: string | undefined
}

const kNames = ['status', 'name', 'id', 'label', 'exitCode', 'ancestor'] as const
const kStatuses: readonly ContainerStatus[] = ['created', 'running', 'paused', 'restarting', 'exited']

/** @returns whether a container fits. @throws {InvalidOptionError} */
export function checkContainerFilters(filters: ContainerFilters | undefined): (container: StoredContainer) => boolean {
  if (filters === undefined) return () => true
  checkObject('filters', filters, kNames)
  const statuses = listOf(filters.status)
  for (const status of statuses) {
    if (!kStatuses.includes(status as ContainerStatus))
      throw new InvalidOptionError('filters.status', `one of ${kStatuses.join(', ')}`, status)
  }
  const labels = listOf(filters.label).map((label) => checkString('filters.label', label))
  const exitCode = checkNumber('filters.exitCode', filters.exitCode, { min: 0, max: 255, integer: true })
  const [name, id, ancestor] = (['name', 'id', 'ancestor'] as const).map((key) =>
    filters[key] === undefined ? undefined : checkString(`filters.${key}`, filters[key]),
  )
  return ({ record, state }) =>
    (statuses.length === 0 || statuses.includes(state.status)) &&
    (name === undefined || state.name.includes(name)) &&
    (id === undefined || record.id.startsWith(id)) &&
    (exitCode === null || (state.status === 'exited' && state.exitCode === exitCode)) &&
    (ancestor === undefined || isMadeFrom(record.image, ancestor)) &&
    labels.every((label) => hasLabel(labelsOf(record), label))
}

function isMadeFrom({ id, reference }: StoredContainer['record']['image'], ancestor: string): boolean {
  if (id !== null && (id.startsWith(ancestor) || id.replace(/^\w+:/, '').startsWith(ancestor))) return true
  return reference !== null && (reference === ancestor || canonical(reference) === canonical(ancestor))
}

/** With registry and tag. What is no reference fits none. */
function canonical(text: string): string | symbol {
  try {
    return Reference.parse(text).toString()
  } catch (error) {
    if (error instanceof InvalidReferenceError) return Symbol(text)
    throw error
  }
}

function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf('=')
  if (equals < 0) return wanted in labels
  return labels[wanted.slice(0, equals)] === wanted.slice(equals + 1)
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return []
  return Array.isArray(value) ? (value as readonly T[]) : [value as T]
}
