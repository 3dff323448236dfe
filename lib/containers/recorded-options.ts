// SPDX-License-Identifier: MIT
import type { ContainerOptions } from '../options/container-options.ts'
import type { ContainerRecord, RecordedOptions } from './record.ts'

/** Brings options into the form in which they are kept. They must have been checked. */
export function toRecorded(options: RecordedOptions): ContainerRecord['options'] {
  const { env, ...rest } = options
  if (env === undefined) return rest
  const variables = Object.entries(env).map(([name, value]) => [name, value ?? null] as const)
  return { ...rest, env: Object.fromEntries(variables) }
}

/** The options that {@link toRecorded} was given. */
export function toOptions({ env, ...rest }: ContainerRecord['options']): Omit<ContainerOptions, 'stdin'> {
  if (env === undefined) return rest
  return { ...rest, env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value ?? undefined])) }
}
