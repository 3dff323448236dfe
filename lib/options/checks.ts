// SPDX-License-Identifier: MIT
import { posix } from 'node:path'
import { InvalidOptionError } from '../errors.ts'
import { parseByteQuantity } from '../oci/parse-quantity.ts'
import { nearestName } from './nearest-name.ts'

/** What stands in an error for a value that must not be repeated. */
export const kHidden = '(hidden)'

/** Checks that a value is a plain options object with known names only; an unknown one is reported with the nearest known. */
export function checkObject(option: string, value: unknown, known?: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw new InvalidOptionError(option, 'an object', value)
  }
  if (known !== undefined) {
    for (const name of Object.keys(value)) {
      if (!known.includes(name)) throw unknownOption(option, name, known)
    }
  }
  return value as Record<string, unknown>
}

/** Checks a string without NUL bytes: the kernel would end it there. */
export function checkString(option: string, value: unknown, expected = 'a string'): string {
  if (typeof value !== 'string') throw new InvalidOptionError(option, expected, value)
  if (value.includes('\0')) throw new InvalidOptionError(option, `${expected} without NUL bytes`, kHidden)
  return value
}

/** Checks a string against a pattern. */
export function checkPattern(option: string, value: unknown, pattern: RegExp, expected: string): string {
  const text = checkString(option, value, expected)
  if (!pattern.test(text)) throw new InvalidOptionError(option, expected, value)
  return text
}

/** Checks an absolute path and brings it into its shortest form, without a slash at its end. */
export function checkAbsolutePath(option: string, value: unknown): string {
  const path = checkString(option, value, 'an absolute path')
  if (!path.startsWith('/')) {
    throw new InvalidOptionError(option, 'an absolute path', value, 'make it absolute with path.resolve(…)')
  }
  const normal = posix.normalize(path)
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal
}

/** Checks a list of strings without NUL bytes. */
export function checkStrings(option: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw new InvalidOptionError(option, 'an array of strings', value)
  return value.map((each, index) => checkString(`${option}[${index}]`, each))
}

/** Checks a string, or a list of them; `undefined` is none. */
export function checkList(option: string, value: unknown): string[] {
  if (value === undefined) return []
  if (Array.isArray(value)) return checkStrings(option, value)
  return [checkString(option, value, 'a string or an array of strings')]
}

/** Checks `true` or `false`; `undefined` is `fallback`. */
export function checkBoolean(option: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback
  if (typeof value !== 'boolean') throw new InvalidOptionError(option, 'true or false', value)
  return value
}

/** Checks one of some words; `undefined` is the first. */
export function checkWord<const T extends string>(option: string, value: unknown, words: readonly [T, ...T[]]): T {
  if (value === undefined) return words[0]
  const found = words.find((word) => word === value)
  if (found !== undefined) return found
  const near = typeof value === 'string' ? nearestName(value, words) : undefined
  throw new InvalidOptionError(option, orList(words), value, near && `did you mean '${near}'?`)
}

/** Checks a finite number in a range; `undefined` is `null`. */
export function checkNumber(
  option: string,
  value: unknown,
  range: { min: number; max?: number; integer?: boolean },
): number | null {
  if (value === undefined) return null
  const { min, max = Number.MAX_SAFE_INTEGER, integer = false } = range
  const fits = typeof value === 'number' && value >= min && value <= max && (!integer || Number.isInteger(value))
  if (fits) return value
  const upTo = max === Number.MAX_SAFE_INTEGER ? 'or more' : `to ${max}`
  throw new InvalidOptionError(option, `${integer ? 'an integer' : 'a number'} of ${min} ${upTo}`, value)
}

/** Longest time of Node's timers, 24.8 days: with a longer one they go off at once. */
export const kMaxTimerMs = 2 ** 31 - 1

/** Checks a time that a timer is set to, in milliseconds; `undefined` is `null`. */
export function checkTimeout(option: string, value: unknown, minMs = 1): number | null {
  return checkNumber(option, value, { min: minMs, max: kMaxTimerMs })
}

/** Checks a byte quantity; `undefined` is `null`. */
export function checkBytes(option: string, value: unknown, minBytes = 0): number | null {
  if (value === undefined) return null
  const bytes = typeof value === 'number' || typeof value === 'string' ? parseByteQuantity(value) : undefined
  if (bytes === undefined) throw new InvalidOptionError(option, "bytes, or a quantity such as '256m' or '1.5g'", value)
  if (bytes < minBytes) throw new InvalidOptionError(option, `at least ${minBytes} bytes`, value)
  return bytes
}

/** What Docker, its clients and child_process call options, in lower case, and what they are called here. */
const kNamesElsewhere: ReadonlyMap<string, string> = new Map([
  ['environment', 'env'],
  ['workingdir', 'cwd'],
  ['workdir', 'cwd'],
  ['volumes', 'mounts'],
  ['binds', 'mounts'],
  ['maxbuffer', 'maxOutputBytes'],
  ['username', 'user'],
  ['uid', 'user'],
  ['networkmode', 'network'],
  ['capadd', 'capabilities'],
  ['capdrop', 'capabilities'],
  ['src', 'source'],
  ['dst', 'target'],
  ['destination', 'target'],
  ['ro', 'readOnly'],
])

/** Makes the error for a name that no option has. */
export function unknownOption(where: string, name: string, known: readonly string[]): InvalidOptionError {
  const option = where === '' ? name : `${where}.${name}`
  const near = meantName(name.toLowerCase(), known)
  const hint = near === undefined ? undefined : `did you mean '${near}'?`
  return new InvalidOptionError(option, 'a known option name', name, hint)
}

/** The name that other tools have something else for, the nearest one, or the one that a longer name begins with. */
function meantName(lower: string, known: readonly string[]): string | undefined {
  const elsewhere = (word: string | undefined): string | undefined => {
    const here = word === undefined ? undefined : kNamesElsewhere.get(word)
    return here !== undefined && known.includes(here) ? here : undefined
  }
  return (
    elsewhere(lower) ??
    nearestName(lower, known) ??
    elsewhere(nearestName(lower, kNamesElsewhere.keys())) ??
    known.find((each) => each.length > 2 && lower.startsWith(each.toLowerCase()))
  )
}

function orList(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(' or ')
}

/** Checks a moment. @returns milliseconds since 1970 */
export function checkMoment(option: string, value: unknown): number | undefined {
  if (value === undefined) return undefined
  const ms =
    value instanceof Date
      ? value.getTime()
      : typeof value === 'number'
        ? value
        : typeof value === 'string'
          ? Date.parse(value)
          : Number.NaN
  if (Number.isFinite(ms)) return ms
  throw new InvalidOptionError(option, 'a date, its ISO 8601 form, or milliseconds since 1970', value)
}
