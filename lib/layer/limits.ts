// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import { checkObject } from '../options/checks.ts'

/** Bounds on what one layer may unpack to. A layer that goes beyond one is refused with a `LayerError`. */
export interface LayerLimits {
  /** Members of the archive. @default 2_000_000 */
  maxEntries: number
  /** Sum of the sizes of all files, holes included. @default 64 GiB */
  maxBytes: number
  /** Directories in one path. @default 512 */
  maxPathDepth: number
  /** Bytes in one path, and in the target of one link. @default 4095, the most that the kernel takes */
  maxNameBytes: number
}

/** Far above what images hold: the largest public ones have some 500,000 entries and 30 GiB, none goes 100 deep. */
export const kDefaultLayerLimits: Readonly<LayerLimits> = Object.freeze({
  maxEntries: 2_000_000,
  maxBytes: 64 * 1024 ** 3,
  maxPathDepth: 512,
  maxNameBytes: 4095,
})

/** Completes limits with their defaults. @throws {InvalidOptionError} for one that is unknown or no number. */
export function checkLayerLimits(option: string, given: unknown = {}): LayerLimits {
  const limits = { ...kDefaultLayerLimits }
  for (const [key, value] of Object.entries(checkObject(option, given, Object.keys(limits)))) {
    if (value === undefined) continue
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      throw new InvalidOptionError(`${option}.${key}`, 'a whole number, 0 or more', value)
    }
    limits[key as keyof LayerLimits] = value
  }
  return limits
}
