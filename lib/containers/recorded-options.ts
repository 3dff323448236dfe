// SPDX-License-Identifier: MIT
import { WherryError } from '../errors.ts'
import { stopSignalOf } from '../oci/merge-config.ts'
import type { ContainerOptions, NormalizedContainerOptions } from '../options/container-options.ts'
import { normalizeContainerOptions } from '../options/normalize-container-options.ts'
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

/**
 * The options of a container, checked as those of a call are: another version of wherry may have written them.
 *
 * @throws {WherryError} `ERR_CONTAINER_OPTIONS`
 */
export function optionsOf({ id, command, options }: ContainerRecord): NormalizedContainerOptions {
  try {
    return normalizeContainerOptions(command, toOptions(options))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WherryError(`Container ${id.slice(0, 12)} has options that this version does not know: ${reason}`, {
      cause,
      code: 'ERR_CONTAINER_OPTIONS',
      hint: 'use it with the version of wherry that made it, or remove it and make it anew',
    })
  }
}

/** Number of the signal that asks a container to end. */
export function stopSignalOfRecord(record: ContainerRecord): number {
  return stopSignalOf({ stopSignal: optionsIfKnown(record)?.stopSignal ?? null }, record.imageConfig)
}

/** As {@link optionsOf}, for what can do without: such a container can be looked at, stopped and removed. */
export function optionsIfKnown(record: ContainerRecord): NormalizedContainerOptions | undefined {
  try {
    return optionsOf(record)
  } catch {
    return undefined
  }
}
