// SPDX-License-Identifier: MIT
import { constants } from 'node:os'
import { inspect } from 'node:util'
import { printableLines } from './format/printable.ts'

/** Wrong use of a flag, or an error in starting a container: Docker's number. */
export const kFlagError = 125
export const kFailure = 1

/** Something that the command line itself has to say. */
export class CliError extends Error {
  readonly exitCode: number
  readonly hint: string | undefined

  constructor(message: string, options: { exitCode?: number; hint?: string | undefined } = {}) {
    super(message)
    this.name = 'CliError'
    this.exitCode = options.exitCode ?? kFailure
    this.hint = options.hint
  }
}

/** A signal ended the work. */
export class Interrupted extends Error {
  readonly killSignal: NodeJS.Signals

  constructor(killSignal: NodeJS.Signals) {
    super(`Ended by ${killSignal}.`)
    this.name = 'Interrupted'
    this.killSignal = killSignal
  }
}

/** What a shell reports of a process that a signal ended. */
export function signalExitCode(killSignal: string): number {
  return 128 + ((constants.signals as Record<string, number>)[killSignal] ?? Number(killSignal.slice('SIG'.length)))
}

/** An error in the words for a person, and for a program. */
export interface ErrorReport {
  readonly code: string
  readonly message: string
  readonly hint: string | undefined
}

/** Hints of the library are for programs: what they begin with, and what a person is told instead. */
const kHints: readonly (readonly [start: string, instead: string])[] = [
  ['Container.list(', "'wherry ps -a' shows all containers"],
  ['Image.list() shows', "'wherry images' shows what is here; 'wherry pull' gets an image from its registry"],
  ["pull it with policy 'missing'", "get it with 'wherry pull'"],
  [
    'free space on that file system',
    "free space there; 'wherry system df' shows what takes it, 'wherry image prune' helps",
  ],
  ['repair the file, or pass auth', 'repair the file, or give --creds'],
]

/** What parts of other hints of the library are called here. */
const kWords: readonly (readonly [RegExp, string])[] = [
  [/^log in with new Registry\('([^']+)'\).*, or pass auth$/, "log in with 'wherry login $1', or give --creds"],
  [/pass \{ force: true \}/, 'give --force'],
  [/with Engine\.open\(\{ root \}\)/, 'with --root'],
  [/say limits: 'best-effort'/, 'give --limits best-effort'],
  [/leave out '([a-zA-Z]+)'/, 'leave out the limit'],
  [/with Image\.import\(\)/, "with 'wherry import'"],
]

function hintForPerson(hint: string | undefined): string | undefined {
  const instead = kHints.find(([start]) => hint?.startsWith(start) === true)?.[1]
  return instead ?? kWords.reduce((text, [library, here]) => text?.replace(library, here), hint)
}

/** Takes an error apart: wherry's own end with their hint, which gets a line of its own. */
export function reportError(error: unknown): ErrorReport {
  const { message, code, hint } = fieldsOf(error)
  const tail = hint === undefined ? '' : ` Hint: ${hint}`
  const text = tail !== '' && message.endsWith(tail) ? message.slice(0, -tail.length) : message
  return { code: code ?? 'ERR_COMMAND_LINE', message: text, hint: hintForPerson(hint) }
}

/** The lines on standard error. @param debug - adds stacks and causes. */
export function formatError(error: unknown, debug: boolean): string {
  const { message, hint } = reportError(error)
  const lines = [`wherry: ${message}`, ...(hint === undefined ? [] : [`Hint: ${hint}`])]
  const details = debug ? [inspect(error, { depth: 5 })] : []
  return `${printableLines([...lines, ...details].join('\n'))}\n`
}

function fieldsOf(error: unknown): { message: string; code: string | undefined; hint: string | undefined } {
  if (!(error instanceof Error)) return { message: String(error), code: undefined, hint: undefined }
  const { code, hint } = error as { code?: unknown; hint?: unknown }
  return {
    message: error.message === '' ? error.name : error.message,
    code: typeof code === 'string' ? code : undefined,
    hint: typeof hint === 'string' ? hint : undefined,
  }
}
