// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import { checkNumber, checkObject, checkStrings, checkTimeout, kMaxTimerMs } from './checks.ts'

/** How it is found out whether a container is well. What is left out is the image's, and else Docker's default. */
export interface HealthOptions {
  /**
   * A shell command, or `['CMD', program, …]`, `['CMD-SHELL', command]`, or `['NONE']`, which turns the image's check off. Exit code 0
   * is healthy.
   */
  test?: string | readonly string[] | undefined
  /** Pause before each look, in milliseconds. @default 30_000 */
  intervalMs?: number | undefined
  /** Longest time that one look may take. @default 30_000 */
  timeoutMs?: number | undefined
  /** Failures in a row that make it unhealthy. @default 3 */
  retries?: number | undefined
  /** Time after the start in which failures do not count, until it was healthy once. @default 0 */
  startPeriodMs?: number | undefined
  /** Pause in that time. @default 5_000 */
  startIntervalMs?: number | undefined
}

/** A health check that is run. */
export interface HealthCheck {
  /** Program and arguments. */
  readonly command: readonly string[]
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly retries: number
  readonly startPeriodMs: number
  readonly startIntervalMs: number
}

/** What an image says of it. Times are nanoseconds; zero is the default. */
export interface ImageHealthcheck {
  readonly Test?: readonly string[] | undefined
  readonly Interval?: number | undefined
  readonly Timeout?: number | undefined
  readonly StartPeriod?: number | undefined
  readonly StartInterval?: number | undefined
  readonly Retries?: number | undefined
}

const kNames = ['test', 'intervalMs', 'timeoutMs', 'retries', 'startPeriodMs', 'startIntervalMs']
/** Docker's least, so that a check cannot keep a machine busy. */
const kLeastMs = 1
const kNanosPerMs = 1e6
const kDefaultShell = ['/bin/sh', '-c']
const kTest = "a shell command, ['CMD', program, …], ['CMD-SHELL', command] or ['NONE']"

/** Checks the option. @throws {InvalidOptionError} */
export function checkHealth(value: unknown): HealthOptions | undefined {
  if (value === undefined) return undefined
  const { test, ...times } = checkObject('health', value, kNames)
  const time = (name: string, min = kLeastMs): number | undefined =>
    checkTimeout(`health.${name}`, times[name], min) ?? undefined
  return {
    test: test === undefined || typeof test === 'string' ? test : checkStrings('health.test', test),
    intervalMs: time('intervalMs'),
    timeoutMs: time('timeoutMs'),
    retries: checkNumber('health.retries', times.retries, { min: 1, max: 1_000_000, integer: true }) ?? undefined,
    startPeriodMs: time('startPeriodMs', 0),
    startIntervalMs: time('startIntervalMs'),
  }
}

/**
 * The check of a container: its option, over what its image says. Pure.
 *
 * @returns `undefined` for none
 * @throws {InvalidOptionError} for times without a test, and for a test in a form that is not known
 */
export function healthCheckOf(
  options: HealthOptions | undefined,
  image: { Healthcheck?: ImageHealthcheck | undefined; Shell?: readonly string[] | undefined },
): HealthCheck | undefined {
  const said = image.Healthcheck ?? {}
  const command = commandOf(options?.test ?? said.Test ?? [], image.Shell ?? kDefaultShell)
  if (command === 'none') return undefined
  if (command === undefined) {
    if (options === undefined) return undefined
    throw new InvalidOptionError('health.test', `${kTest}: the image has no check`, options.test)
  }
  const pick = (option: number | undefined, nanos: number | undefined, fallback: number): number =>
    option ??
    (nanos === undefined || nanos === 0 ? fallback : Math.min(kMaxTimerMs, Math.max(kLeastMs, nanos / kNanosPerMs)))
  return {
    command,
    intervalMs: pick(options?.intervalMs, said.Interval, 30_000),
    timeoutMs: pick(options?.timeoutMs, said.Timeout, 30_000),
    retries: options?.retries ?? (said.Retries || 3),
    startPeriodMs: pick(options?.startPeriodMs, said.StartPeriod, 0),
    startIntervalMs: pick(options?.startIntervalMs, said.StartInterval, 5_000),
  }
}

/** @returns `undefined` where nothing is said; `'none'` where there is to be none */
function commandOf(test: string | readonly string[], shell: readonly string[]): readonly string[] | 'none' | undefined {
  const [form, ...words] = typeof test === 'string' ? ['CMD-SHELL', test] : test
  if (form === undefined) return undefined
  if (form === 'NONE') return 'none'
  if (form === 'CMD' && words.length > 0) return words
  if (form === 'CMD-SHELL' && words.length === 1 && words[0] !== '') return [...shell, ...words]
  throw new InvalidOptionError('health.test', kTest, test)
}
