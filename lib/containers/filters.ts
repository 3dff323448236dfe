// SPDX-License-Identifier: MIT
import { InvalidOptionError, InvalidReferenceError } from '../errors.ts'
import { Reference } from '../oci/reference.ts'
import { checkList, checkNumber, checkObject, checkString } from '../options/checks.ts'
import { hasLabel } from '../options/labels.ts'
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
  const statuses = checkList('filters.status', filters.status)
  for (const status of statuses) {
    if (!kStatuses.includes(status as ContainerStatus))
      throw new InvalidOptionError('filters.status', `one of ${kStatuses.join(', ')}`, status)
  }
  const labels = checkList('filters.label', filters.label)
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
