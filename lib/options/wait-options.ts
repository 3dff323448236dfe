// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import { checkNumber, checkObject, checkString, checkStrings, checkWord } from './checks.ts'
import { checkPort, type NormalizedConnectTarget, normalizeConnectTarget } from './reach-options.ts'

/** What an HTTP server has to answer. */
export interface HttpCondition {
  /** @default 80 */
  port?: number | undefined
  /** @default '/' */
  path?: string | undefined
  /** A status, or several of which one will do. @default any from 200 to 399; redirects are not followed */
  status?: number | readonly number[] | undefined
}

/** When a container is ready. */
export type WaitCondition =
  /** A line of its output has this text in it, or fits the expression; `times` such lines. */
  | { log: string | RegExp; stream?: 'stdout' | 'stderr' | undefined; times?: number | undefined }
  /** Something accepts connections to a port, inside of the container's network. */
  | { port: number; host?: string | undefined }
  /** A path, at port 80; or more. */
  | { http: string | HttpCondition }
  /** Its health check says so. */
  | { healthy: true }
  /** A program in the container exits with 0; it is run again and again. */
  | { exec: readonly string[] }
  /** It has ended by itself with this exit code. */
  | { exit: number }
  /** All of these. */
  | { all: readonly WaitCondition[] }
  /** One of these. */
  | { any: readonly WaitCondition[] }

/** A condition after validation. `label` is for messages. */
export type NormalizedCondition = { readonly label: string } & (
  | {
      readonly kind: 'log'
      readonly fits: (line: string) => boolean
      readonly streams: readonly ('stdout' | 'stderr')[]
      readonly times: number
    }
  | { readonly kind: 'port'; readonly target: NormalizedConnectTarget }
  | {
      readonly kind: 'http'
      readonly target: NormalizedConnectTarget
      readonly path: string
      readonly accepts: (status: number) => boolean
    }
  | { readonly kind: 'healthy' }
  | { readonly kind: 'exec'; readonly command: readonly string[] }
  | { readonly kind: 'exit'; readonly exitCode: number }
  | { readonly kind: 'all'; readonly parts: readonly NormalizedCondition[] }
  | { readonly kind: 'any'; readonly parts: readonly NormalizedCondition[] }
)

const kKinds = ['log', 'port', 'http', 'healthy', 'exec', 'exit', 'all', 'any'] as const
type Kind = (typeof kKinds)[number]

/** Names that go with a kind. */
const kBeside: Partial<Record<Kind, readonly string[]>> = { log: ['stream', 'times'], port: ['host'] }
const kMaxDepth = 8

/** Checks a condition. @throws {InvalidOptionError} */
export function normalizeCondition(value: unknown, option = 'condition', depth = 0): NormalizedCondition {
  const given = checkObject(option, value)
  const kind = kKinds.find((each) => given[each] !== undefined)
  const known = kind === undefined ? kKinds : [kind, ...(kBeside[kind] ?? [])]
  checkObject(option, given, known)
  if (kind === undefined) throw new InvalidOptionError(option, `one of ${kKinds.join(', ')}`, value)
  const inner = `${option}.${kind}`
  switch (kind) {
    case 'log':
      return logCondition(given, option)
    case 'port':
      return {
        kind,
        label: `port ${given.port}`,
        target: normalizeConnectTarget({ port: given.port, host: given.host }),
      }
    case 'http':
      return httpCondition(given.http, inner)
    case 'healthy':
      if (given.healthy !== true) throw new InvalidOptionError(inner, 'true', given.healthy)
      return { kind, label: 'its health' }
    case 'exec':
      return execCondition(given.exec, inner)
    case 'exit': {
      const exitCode = checkNumber(inner, given.exit, { min: 0, max: 255, integer: true }) ?? 0
      return { kind, label: `its end with ${exitCode}`, exitCode }
    }
    default:
      return combined(kind, given[kind], inner, depth)
  }
}

function combined(kind: 'all' | 'any', value: unknown, option: string, depth: number): NormalizedCondition {
  if (!Array.isArray(value) || value.length === 0) throw new InvalidOptionError(option, 'a list of conditions', value)
  if (depth >= kMaxDepth) throw new InvalidOptionError(option, `conditions at most ${kMaxDepth} deep`, value)
  const parts = value.map((each, i) => normalizeCondition(each, `${option}[${i}]`, depth + 1))
  return { kind, parts, label: parts.map(({ label }) => label).join(kind === 'all' ? ' and ' : ' or ') }
}

function logCondition({ log, stream, times }: Record<string, unknown>, option: string): NormalizedCondition {
  const count = checkNumber(`${option}.times`, times, { min: 1, integer: true }) ?? 1
  const streams =
    stream === undefined
      ? (['stdout', 'stderr'] as const)
      : [checkWord(`${option}.stream`, stream, ['stdout', 'stderr'])]
  return {
    kind: 'log',
    label: `the log line ${String(log)}`,
    fits: matcher(log, `${option}.log`),
    streams,
    times: count,
  }
}

function matcher(log: unknown, option: string): (line: string) => boolean {
  if (log instanceof RegExp) {
    // Without the flags that make an expression remember where it was.
    const pattern = new RegExp(log.source, log.flags.replace(/[gy]/g, ''))
    return (line) => pattern.test(line)
  }
  const words = checkString(option, log, 'a string or a regular expression')
  if (words === '') throw new InvalidOptionError(option, 'a string that is not empty', log)
  return (line) => line.includes(words)
}

function httpCondition(value: unknown, option: string): NormalizedCondition {
  const given = typeof value === 'string' ? { path: value } : checkObject(option, value, ['port', 'path', 'status'])
  const { port = 80, path = '/', status } = given as HttpCondition
  const wanted = checkString(`${option}.path`, path)
  if (!wanted.startsWith('/') || /[^\x21-\x7e]/.test(wanted)) {
    throw new InvalidOptionError(`${option}.path`, "a path that begins with '/', encoded as in a URL", path)
  }
  return {
    kind: 'http',
    label: `http://localhost:${port}${wanted}`,
    target: normalizeConnectTarget(checkPort(`${option}.port`, port)),
    path: wanted,
    accepts: statusCheck(status, `${option}.status`),
  }
}

function statusCheck(status: unknown, option: string): (status: number) => boolean {
  if (status === undefined) return (each) => each >= 200 && each < 400
  const all = (Array.isArray(status) ? status : [status]).map((each) =>
    checkNumber(option, each, { min: 100, max: 599, integer: true }),
  )
  return (each) => all.includes(each)
}

function execCondition(value: unknown, option: string): NormalizedCondition {
  const command = checkStrings(option, value)
  if (command.length === 0) throw new InvalidOptionError(option, 'a program and its arguments', value)
  return { kind: 'exec', label: `the program ${command[0]}`, command }
}
