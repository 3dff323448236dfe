// SPDX-License-Identifier: MIT
import type { ImageInspection } from '../../index.ts'
import { CliError, kFlagError } from '../errors.ts'

type Config = { -readonly [K in keyof ImageInspection['config']]: ImageInspection['config'][K] }

const kInstructions = 'CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR'

/**
 * Turns instructions of a Dockerfile, as `docker import --change` takes them, into an image's configuration.
 *
 * @throws {CliError} naming the instruction.
 */
export function parseChanges(changes: readonly string[]): Config {
  const config: Config = {}
  for (const change of changes) {
    const [, word = '', rest = ''] = /^\s*(\S+)\s*(.*?)\s*$/s.exec(change) ?? []
    apply(config, word.toUpperCase(), rest, change)
  }
  return config
}

function apply(config: Config, instruction: string, rest: string, change: string): void {
  if (rest === '') throw wrong(change, 'it has nothing after the instruction')
  switch (instruction) {
    case 'CMD':
      config.Cmd = commandOf(rest, change)
      break
    case 'ENTRYPOINT':
      config.Entrypoint = commandOf(rest, change)
      break
    case 'ENV':
      config.Env = [...(config.Env ?? []), ...pairsOf(rest, change).map(([name, value]) => `${name}=${value}`)]
      break
    case 'LABEL':
      config.Labels = { ...config.Labels, ...Object.fromEntries(pairsOf(rest, change)) }
      break
    case 'EXPOSE':
      config.ExposedPorts = { ...config.ExposedPorts, ...keys(rest.split(/\s+/).map(portOf)) }
      break
    case 'VOLUME':
      config.Volumes = {
        ...config.Volumes,
        ...keys(rest.startsWith('[') ? jsonWords(rest, change) : rest.split(/\s+/)),
      }
      break
    case 'STOPSIGNAL':
      config.StopSignal = rest
      break
    case 'USER':
      config.User = rest
      break
    case 'WORKDIR':
      config.WorkingDir = rest
      break
    default:
      throw wrong(change, `instructions are ${kInstructions}`)
  }
}

/** JSON is the words themselves; anything else is a line for a shell. */
function commandOf(rest: string, change: string): string[] {
  return rest.startsWith('[') ? jsonWords(rest, change) : ['/bin/sh', '-c', rest]
}

function jsonWords(text: string, change: string): string[] {
  let words: unknown
  try {
    words = JSON.parse(text)
  } catch {
    throw wrong(change, 'it is not a JSON array')
  }
  if (Array.isArray(words) && words.every((word): word is string => typeof word === 'string')) return words
  throw wrong(change, 'it is not a JSON array of strings')
}

/** `A=b C="d e"`, or the old form with one name and a space: `A b`. */
function pairsOf(text: string, change: string): [string, string][] {
  const old = /^([^\s=]+)\s+(.*)$/s.exec(text)
  if (old !== null) return [[old[1] ?? '', old[2] ?? '']]
  const pair = /([^\s=]+)=((?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])*)(?:\s+|$)/sy
  const pairs: [string, string][] = []
  while (pair.lastIndex < text.length) {
    const match = pair.exec(text)
    if (match === null) throw wrong(change, 'it is not of the form NAME=value')
    pairs.push([match[1] ?? '', unquote(match[2] ?? '')])
  }
  return pairs
}

function unquote(text: string): string {
  return text.replace(
    /"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/gs,
    (_, double?: string, single?: string, escaped?: string) =>
      double === undefined ? (single ?? escaped ?? '') : double.replace(/\\(["\\$])/g, '$1'),
  )
}

function portOf(text: string): string {
  return text.includes('/') ? text : `${text}/tcp`
}

function keys(names: readonly string[]): Record<string, Record<string, never>> {
  return Object.fromEntries(names.map((name) => [name, {}]))
}

function wrong(change: string, reason: string): CliError {
  return new CliError(`Invalid change '${change}': ${reason}.`, { exitCode: kFlagError })
}
