// SPDX-License-Identifier: MIT
import { Readable, Writable } from 'node:stream'
import { InvalidOptionError } from '../errors.ts'
import { parseSignal } from '../oci/signals.ts'
import {
  checkAbsolutePath,
  checkBoolean,
  checkNumber,
  checkObject,
  checkPattern,
  checkString,
  checkStrings,
  checkTimeout,
  checkWord,
  kHidden,
} from './checks.ts'
import type { ContainerOptions, NormalizedContainerOptions, OutputOption } from './container-options.ts'
import { kHostName, normalizeIsolation } from './isolation-options.ts'
import { normalizeLimits } from './limit-options.ts'
import { normalizeMounts } from './mount-options.ts'

export const kDefaultStopTimeoutMs = 10_000
const kDefaultMaxOutputBytes = 100 * 1024 ** 2
/** The longest time that a Node timer takes. */

/** Written as an object so that the compiler finds a field that is missing here. */
const kOptionNames = Object.keys({
  entrypoint: 0,
  env: 0,
  cwd: 0,
  user: 0,
  groups: 0,
  hostname: 0,
  tty: 0,
  stdin: 0,
  input: 0,
  stdout: 0,
  stderr: 0,
  init: 0,
  stopSignal: 0,
  stopTimeoutMs: 0,
  timeoutMs: 0,
  maxOutputBytes: 0,
  signal: 0,
  onStart: 0,
  readOnly: 0,
  mounts: 0,
  memory: 0,
  memorySwap: 0,
  memoryReservation: 0,
  cpus: 0,
  cpuShares: 0,
  cpuset: 0,
  pids: 0,
  ulimits: 0,
  oomScoreAdj: 0,
  shmSize: 0,
  userns: 0,
  capabilities: 0,
  seccomp: 0,
  noNewPrivileges: 0,
  maskedPaths: 0,
  readonlyPaths: 0,
  sysctls: 0,
  privileged: 0,
  network: 0,
  ports: 0,
  dns: 0,
  extraHosts: 0,
  name: 0,
  labels: 0,
  platform: 0,
  reject: 0,
  encoding: 0,
  limits: 0,
  engine: 0,
} satisfies Record<keyof ContainerOptions, 0>)

/**
 * Checks a command and options and fills in the defaults that do not depend on the image. Touches nothing.
 *
 * @param command - the command and its arguments; `undefined`, `null` or empty for the image's own.
 * @throws {InvalidOptionError} for an unknown name or a value that cannot work. Values of `env` and input are never repeated.
 */
export function normalizeContainerOptions(
  command: readonly string[] | null | undefined,
  options: ContainerOptions = {},
): NormalizedContainerOptions {
  checkObject('options', options)
  checkNames(options)
  return {
    command: normalizeCommand(command),
    ...normalizeProcess(options),
    ...normalizeLimits(options),
    ...normalizeIsolation(options),
    ...normalizeMetadata(options),
    ...normalizeRun(options),
    mounts: normalizeMounts(options.mounts),
    readOnly: checkBoolean('readOnly', options.readOnly, false),
    stdin: normalizeStdin(options),
    stdout: normalizeOutput('stdout', options.stdout),
    stderr: normalizeOutput('stderr', options.stderr),
    engine: options.engine,
  }
}

function checkNames(options: ContainerOptions): void {
  if ('command' in options) {
    throw new InvalidOptionError(
      'command',
      'the command as the second argument',
      kHidden,
      "run(image, ['command', …], options)",
    )
  }
  const names = Object.keys(options)
  if (names.every((name) => kOptionNames.includes(name))) return
  checkObject('', options, kOptionNames)
}

/** Checks a command. @returns `null` for none */
export function normalizeCommand(command: unknown): string[] | null {
  if (command === undefined || command === null) return null
  if (typeof command === 'string') {
    throw new InvalidOptionError('command', 'an array of strings', command, "for a shell line use ['sh', '-c', line]")
  }
  if (typeof command === 'object' && !Array.isArray(command)) {
    const hint = 'options come after the command: run(image, undefined, options)'
    throw new InvalidOptionError('command', 'an array of strings', command, hint)
  }
  const words = checkStrings('command', command)
  return words.length === 0 ? null : words
}

/** Checks what concerns the process itself. */
export function normalizeProcess(
  options: ContainerOptions,
): Pick<
  NormalizedContainerOptions,
  'entrypoint' | 'env' | 'cwd' | 'user' | 'groups' | 'hostname' | 'tty' | 'init' | 'stopSignal'
> {
  return {
    entrypoint: normalizeEntrypoint(options.entrypoint),
    env: normalizeEnv(options.env),
    cwd: options.cwd === undefined ? null : checkAbsolutePath('cwd', options.cwd),
    user: options.user === undefined ? null : normalizeUser(options.user),
    groups: normalizeGroups(options.groups),
    hostname:
      options.hostname === undefined ? null : checkPattern('hostname', options.hostname, kHostName, 'a host name'),
    tty: checkBoolean('tty', options.tty, false),
    init: checkBoolean('init', options.init, false),
    stopSignal: options.stopSignal === undefined ? null : normalizeSignal('stopSignal', options.stopSignal),
  }
}

function normalizeEntrypoint(value: unknown): string[] | null {
  if (value === undefined) return null
  return typeof value === 'string' ? [checkString('entrypoint', value)] : checkStrings('entrypoint', value)
}

function normalizeEnv(value: unknown): Map<string, string | null> {
  const env = new Map<string, string | null>()
  if (value === undefined) return env
  for (const [name, setting] of Object.entries(checkObject('env', value))) {
    if (name === '' || name.includes('=') || name.includes('\0')) {
      throw new InvalidOptionError(
        'env',
        "variable names that are not empty and have neither '=' nor NUL",
        name.split('=', 1)[0],
      )
    }
    const isText = typeof setting === 'string' && !setting.includes('\0')
    if (setting !== undefined && !isText) {
      throw new InvalidOptionError(`env.${name}`, 'a string without NUL bytes, or undefined', kHidden)
    }
    env.set(name, isText ? setting : null)
  }
  return env
}

function normalizeUser(value: unknown): string {
  const expected = "a user such as 'node', 1000, '1000:1000' or 'node:staff'"
  if (typeof value === 'number') return String(checkNumber('user', value, { min: 0, max: 2 ** 32 - 2, integer: true }))
  return checkPattern('user', value, /^[^:\n]*(?::[^:\n]*)?$/, expected)
}

function normalizeGroups(value: unknown): string[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new InvalidOptionError('groups', 'an array of names or ids', value)
  return value.map((group, index) => {
    const option = `groups[${index}]`
    if (typeof group === 'number')
      return String(checkNumber(option, group, { min: 0, max: 2 ** 32 - 2, integer: true }))
    return checkPattern(option, group, /^[^:\n]+$/, 'a group name or id')
  })
}

function normalizeSignal(option: string, value: unknown): number {
  const number = typeof value === 'string' || typeof value === 'number' ? parseSignal(value) : undefined
  if (number === undefined) throw new InvalidOptionError(option, "a signal such as 'SIGTERM' or 15", value)
  return number
}

function normalizeMetadata(
  options: ContainerOptions,
): Pick<NormalizedContainerOptions, 'name' | 'labels' | 'platform'> {
  const kName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}$/
  const kPlatform = /^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/
  const labels = options.labels === undefined ? {} : checkObject('labels', options.labels)
  return {
    name:
      options.name === undefined
        ? null
        : checkPattern('name', options.name, kName, "two or more letters, digits, '_', '.', '-'"),
    labels: Object.fromEntries(
      Object.entries(labels).map(([key, value]) => [checkString('labels', key), checkString(`labels.${key}`, value)]),
    ),
    platform:
      options.platform === undefined
        ? null
        : checkPattern('platform', options.platform, kPlatform, "a platform such as 'linux/arm64'"),
  }
}

/** Checks what concerns the call. */
export function normalizeRun(
  options: ContainerOptions,
): Pick<
  NormalizedContainerOptions,
  'stopTimeoutMs' | 'timeoutMs' | 'maxOutputBytes' | 'reject' | 'encoding' | 'limits' | 'signal' | 'onStart'
> {
  const { signal, encoding = 'utf8', maxOutputBytes, onStart } = options
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidOptionError('signal', 'an AbortSignal', signal, "POSIX signals go to 'stopSignal'")
  }
  if (encoding !== 'buffer' && !(typeof encoding === 'string' && Buffer.isEncoding(encoding))) {
    throw new InvalidOptionError('encoding', "an encoding such as 'utf8', or 'buffer'", encoding)
  }
  if (onStart !== undefined && typeof onStart !== 'function') {
    throw new InvalidOptionError('onStart', 'a function', onStart)
  }
  const unlimited = maxOutputBytes === Number.POSITIVE_INFINITY
  return {
    stopTimeoutMs: checkTimeout('stopTimeoutMs', options.stopTimeoutMs, 0) ?? kDefaultStopTimeoutMs,
    timeoutMs: checkTimeout('timeoutMs', options.timeoutMs),
    maxOutputBytes: unlimited
      ? Number.POSITIVE_INFINITY
      : (checkNumber('maxOutputBytes', maxOutputBytes, { min: 0, integer: true }) ?? kDefaultMaxOutputBytes),
    reject: checkBoolean('reject', options.reject, true),
    encoding,
    limits: checkWord('limits', options.limits, ['strict', 'best-effort']),
    signal: signal ?? null,
    onStart: onStart ?? null,
  }
}

/** Checks where an output stream goes. */
export function normalizeOutput(option: string, value: unknown): OutputOption {
  if (value instanceof Writable) return value
  const words = ['pipe', 'inherit', 'ignore'] as const
  if (value === undefined || words.some((word) => word === value)) return checkWord(option, value, words)
  throw new InvalidOptionError(option, "'pipe', 'inherit', 'ignore' or a Writable", value)
}

/** Checks where standard input comes from: `stdin` or `input`. */
export function normalizeStdin(options: ContainerOptions): NormalizedContainerOptions['stdin'] {
  const { stdin, input } = options
  if (input !== undefined) {
    if (stdin !== undefined) throw new InvalidOptionError('input', "'input' or 'stdin', not both", kHidden)
    if (typeof input === 'string') return { kind: 'bytes', bytes: Buffer.from(input) }
    return toSource('input', input, 'a string, a Uint8Array or a Readable')
  }
  if (stdin === undefined || typeof stdin === 'string') {
    const near =
      stdin === undefined ? 'ignore' : (['ignore', 'pipe', 'inherit'] as const).find((word) => word === stdin)
    if (near !== undefined) return { kind: near }
    throw new InvalidOptionError(
      'stdin',
      "'pipe', 'inherit', 'ignore', bytes or a stream",
      kHidden,
      "text goes to 'input'",
    )
  }
  return toSource('stdin', stdin, "'pipe', 'inherit', 'ignore', a Uint8Array or a Readable")
}

function toSource(option: string, value: unknown, expected: string): NormalizedContainerOptions['stdin'] {
  if (value instanceof Uint8Array) return { kind: 'bytes', bytes: value }
  if (value instanceof Readable) return { kind: 'stream', stream: value }
  throw new InvalidOptionError(option, expected, value)
}
