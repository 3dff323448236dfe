// SPDX-License-Identifier: MIT
import type { Readable } from 'node:stream'
import { InvalidOptionError } from '../errors.ts'
import { checkBoolean, checkNumber, checkObject } from './checks.ts'
import type { NormalizedContainerOptions, OutputOption, StdinOption } from './container-options.ts'
import {
  normalizeCommand,
  normalizeOutput,
  normalizeProcess,
  normalizeRun,
  normalizeStdin,
} from './normalize-container-options.ts'

/** Size of a terminal, in characters. */
export interface TerminalSize {
  rows: number
  columns: number
}

/** A program that runs in a container, as {@link ExecOptions.onStart} gets it. */
export interface RunningProgram {
  /** Of its process, as the host counts. */
  readonly pid: number
  /**
   * Sends it a signal. One that has ended is no error.
   *
   * @param killSignal - `'SIGTERM'`, `'TERM'` or 15.
   * @throws {InvalidOptionError}
   */
  kill(killSignal: string | number): void
}

/** How a program runs in a container that runs. What is left out is as it is for the container. */
export interface ExecOptions {
  /** Environment variables, over those of the container. `undefined` as a value takes a variable away. */
  env?: Readonly<Record<string, string | undefined>> | undefined
  /** Absolute working directory; it must exist. @default the container's */
  cwd?: string | undefined
  /** `name`, `uid`, `name:group`, `uid:gid`. Names are looked up in the container's files, as they are now. @default the container's */
  user?: string | number | undefined
  /** Further groups of the process, by name or id. @default the container's */
  groups?: readonly (string | number)[] | undefined
  /** Gives the program all capabilities. The container's system call filter stays. @default false */
  privileged?: boolean | undefined
  /** Gives the program a terminal of its own; stdout and stderr become one stream. @default false */
  tty?: boolean | undefined
  /** Size that the terminal begins with. @default 24 rows of 80 columns */
  terminalSize?: TerminalSize | undefined
  /** A stream word, or the very bytes or stream to feed in. @default 'ignore' */
  stdin?: StdinOption | undefined
  /** Text (sent as UTF-8), bytes or a stream for standard input, instead of `stdin`. */
  input?: string | Uint8Array | Readable | undefined
  /** @default 'pipe' */
  stdout?: OutputOption | undefined
  /** @default 'pipe' */
  stderr?: OutputOption | undefined
  /** Ends the program, and what it has started, with SIGKILL after this time, in milliseconds. @default no limit */
  timeoutMs?: number | undefined
  /** Bytes of stdout, and of stderr, kept in memory before the program is ended. @default 100 MiB */
  maxOutputBytes?: number | undefined
  /** Aborting ends the program, and what it has started, with SIGKILL, and rejects with `signal.reason`. */
  signal?: AbortSignal | undefined
  /** Called once, when the program runs. What it throws ends the program and rejects the call. */
  onStart?: ((program: RunningProgram) => void) | undefined
  /** Whether failure (exit code, signal, time) rejects. @default true */
  reject?: boolean | undefined
  /** How output is handed over: decoded text, or bytes. @default 'utf8' */
  encoding?: BufferEncoding | 'buffer' | undefined
}

/** How a program begins that goes on by itself. @see ExecOptions */
export type ExecDetachedOptions = Pick<ExecOptions, 'env' | 'cwd' | 'user' | 'groups' | 'privileged' | 'signal'>

type Shared = Pick<
  NormalizedContainerOptions,
  | 'env'
  | 'cwd'
  | 'user'
  | 'tty'
  | 'stdin'
  | 'stdout'
  | 'stderr'
  | 'timeoutMs'
  | 'maxOutputBytes'
  | 'signal'
  | 'reject'
  | 'encoding'
>

/** Options after validation. `null` means: not given, the container's value applies. */
export interface NormalizedExecOptions extends Shared {
  /** Program and arguments; never empty. */
  command: readonly string[]
  groups: readonly string[] | null
  privileged: boolean
  terminalSize: TerminalSize
  onStart: ((program: RunningProgram) => void) | null
  /** Whether nobody waits for it: it goes on by itself in the container. */
  detached: boolean
}

const kOptionNames = Object.keys({
  env: 0,
  cwd: 0,
  user: 0,
  groups: 0,
  privileged: 0,
  tty: 0,
  terminalSize: 0,
  stdin: 0,
  input: 0,
  stdout: 0,
  stderr: 0,
  timeoutMs: 0,
  maxOutputBytes: 0,
  signal: 0,
  onStart: 0,
  reject: 0,
  encoding: 0,
} satisfies Record<keyof ExecOptions, 0>)

const kDefaultSize: TerminalSize = { rows: 24, columns: 80 }
/** A struct winsize has 16 bits for each. */
const kMaxSize = 65_535

/**
 * Checks a command and options of a program in a running container. Touches nothing.
 *
 * @throws {InvalidOptionError} for an unknown name or a value that cannot work. Values of `env` and input are never repeated.
 */
export function normalizeExecOptions(command: readonly string[], options: ExecOptions = {}): NormalizedExecOptions {
  checkObject('', checkObject('options', options), kOptionNames)
  const words = normalizeCommand(command)
  if (words === null || words[0] === '') {
    throw new InvalidOptionError('command', 'a program that is not empty', words === null ? command : '')
  }
  const { env, cwd, user, groups, tty } = normalizeProcess(options)
  const { onStart, ...rest } = options
  const { timeoutMs, maxOutputBytes, signal, reject, encoding } = normalizeRun(rest)
  return {
    command: words,
    ...{ env, cwd, user, tty, timeoutMs, maxOutputBytes, signal, reject, encoding },
    groups: options.groups === undefined ? null : groups,
    privileged: checkBoolean('privileged', options.privileged, false),
    terminalSize: normalizeSize(options.terminalSize),
    onStart: checkCallback('onStart', onStart),
    detached: false,
    stdin: normalizeStdin(options),
    stdout: normalizeOutput('stdout', options.stdout),
    stderr: normalizeOutput('stderr', options.stderr),
  }
}

/** The same for one that goes on by itself. @throws {InvalidOptionError} */
export function normalizeDetachedExec(
  command: readonly string[],
  options: ExecDetachedOptions = {},
): NormalizedExecOptions {
  checkObject('', checkObject('options', options), ['env', 'cwd', 'user', 'groups', 'privileged', 'signal'])
  return {
    ...normalizeExecOptions(command, { ...options, stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' }),
    detached: true,
  }
}

function normalizeSize(size: unknown): TerminalSize {
  if (size === undefined) return kDefaultSize
  const given = checkObject('terminalSize', size, ['rows', 'columns'])
  const check = (name: 'rows' | 'columns'): number =>
    checkNumber(`terminalSize.${name}`, given[name], { min: 0, max: kMaxSize, integer: true }) ?? kDefaultSize[name]
  return { rows: check('rows'), columns: check('columns') }
}

function checkCallback<T>(option: string, value: T | undefined): T | null {
  if (value !== undefined && typeof value !== 'function') throw new InvalidOptionError(option, 'a function', value)
  return value ?? null
}
