// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import {
  checkRuntimeConfig,
  type ImageRuntimeConfig,
  kRuntimeConfigFields,
  type Platform,
} from '../oci/image-config.ts'
import { hostPlatform, parsePlatform } from '../oci/platform.ts'
import { Reference } from '../oci/reference.ts'
import { checkObject, checkString, unknownOption } from './checks.ts'

/** The platform that an option names. @param nodeArch - `process.arch`, for the default. */
export function platformOption(platform: unknown, nodeArch: string): Platform {
  return platform === undefined ? hostPlatform(nodeArch) : parsePlatform(checkString('platform', platform))
}

/** Checks a name that an image can be given. @returns its canonical form. */
export function tagReference(text: unknown): string {
  const reference = Reference.parse(checkString('reference', text))
  if (reference.digest !== undefined)
    throw new InvalidOptionError('reference', 'a name with a tag, without digest', text)
  return reference.toString()
}

/** Checks a date; `undefined` is now. */
export function checkDate(created: unknown): Date {
  if (created === undefined) return new Date()
  if (created instanceof Date && !Number.isNaN(created.getTime())) return created
  throw new InvalidOptionError('created', 'a valid Date', created)
}

/** Checks the runtime configuration of an image that is being made. */
export function checkImageConfig(config: unknown): ImageRuntimeConfig {
  if (config === undefined) return {}
  for (const name of Object.keys(checkObject('config', config))) {
    if (!kRuntimeConfigFields.includes(name)) throw unknownOption('config', name, kRuntimeConfigFields)
  }
  const result = checkRuntimeConfig(config)
  if ('config' in result) return result.config
  throw new InvalidOptionError(`config.${result.field}`, result.expected, result.received)
}
