// SPDX-License-Identifier: MIT
import { randomInt } from 'node:crypto'
import { InvalidOptionError } from '../errors.ts'
import { checkBoolean, checkBytes, checkNumber, checkObject } from '../options/checks.ts'
import type { ByteQuantity } from '../options/container-options.ts'
import { checkHealth, type HealthOptions } from '../options/health-options.ts'
import { normalizeContainerOptions } from '../options/normalize-container-options.ts'
import { checkRestart, type RestartPolicy, type RestartState } from '../options/restart-policy.ts'
import type { ContainerRecord, RecordedOptions } from './record.ts'
import { toRecorded } from './recorded-options.ts'

/** How much of a container's output is kept. */
export interface LogOptions {
  /** Size at which a log file is put aside and a new one begun; `0` is no limit. @default '20m' */
  maxSize?: ByteQuantity | undefined
  /** Files that are kept, the current one included. @default 5 */
  maxFiles?: number | undefined
}

/**
 * How a container is made. What concerns one call of `Container.run` only (streams, `timeoutMs`, `reject`, …) is not among it: output
 * goes to the logs.
 */
export interface ContainerCreateOptions<E = unknown> extends RecordedOptions {
  /** Program and arguments; no shell. @default the image's own command */
  command?: readonly string[] | undefined
  /** Name by which to find it: letters, digits, `_`, `.`, `-`, at least two characters. @default two words */
  name?: string | undefined
  /** Platform of the image, where it is pulled: `'linux/arm64'`. @default the host's */
  platform?: string | undefined
  /** Whether it goes on when this process ends. @default false: it ends with this process, however that ends */
  detached?: boolean | undefined
  /**
   * Whether it is removed once it has ended: by the process that started it, else by the next {@link Engine.open} or
   * {@link Container.list} on the root.
   *
   * @default false
   */
  autoRemove?: boolean | undefined
  /**
   * When it is started again once it has ended: `'on-failure'` (also `'on-failure:5'`: five times at most), `'always'`, and
   * `'unless-stopped'`, which differs after the host has been started anew: one that was stopped stays so. The pause before doubles
   * from 100 ms to a minute, and begins anew after a run of ten seconds. {@link Container.stop} ends it, and so
   * does {@link Container.kill} with SIGKILL or the stop signal, until it is started by hand. Not together with `autoRemove`.
   *
   * @default 'no'
   */
  restart?: string | RestartPolicy | undefined
  /**
   * Its standard input: none, or one that {@link Container.attach} writes to. `'open'` stays open whoever comes and goes, `'once'` ends
   * with the input of the first who attaches, without a terminal.
   *
   * @default 'ignore'
   */
  stdin?: 'ignore' | 'open' | 'once' | undefined
  /** Looks now and then whether it is well: {@link Container.inspect} and `waitFor({ healthy: true })` tell. @default the image's */
  health?: HealthOptions | undefined
  logs?: LogOptions | undefined
  /** Aborting ends the wait for what this call does. */
  signal?: AbortSignal | undefined
  /** @default Engine.default() */
  engine?: E | undefined
}

/** The part of a record that options decide. */
export type CheckedCreateOptions = Pick<ContainerRecord, 'command' | 'options' | 'detached' | 'stdin' | 'logs'> & {
  readonly name: string | undefined
  readonly autoRemove: boolean
  readonly restart: RestartState | undefined
  readonly health: HealthOptions | undefined
}

const kOneCallOnly = ['input', 'stdout', 'stderr', 'timeoutMs', 'maxOutputBytes', 'onStart', 'reject', 'encoding']
const kDefaultLogBytes = 20 * 1024 ** 2
const kDefaultLogFiles = 5
const kMaxLogFiles = 1000

/** Checks the options of a container that outlasts the call. Touches nothing. @throws {InvalidOptionError} */
export function checkCreateOptions(options: ContainerCreateOptions): CheckedCreateOptions {
  checkObject('options', options)
  for (const name of kOneCallOnly) {
    if (name in options) throw new InvalidOptionError(name, 'no such option here', options[name as 'name'], kUseRun)
  }
  const { command, name, platform, detached, autoRemove, restart, health, stdin, logs, signal, engine, ...rest } =
    options
  // Also names that are not known.
  const { ports } = normalizeContainerOptions(command, { ...rest, name, platform, signal })
  if (detached === true && ports.length > 0) throw new InvalidOptionError('ports', 'none', rest.ports, kNoDetachedPorts)
  return {
    command: command === undefined || command.length === 0 ? null : [...command],
    // Plain data from here on, that nobody can change any more.
    options: toRecorded(structuredClone(rest)),
    detached: checkBoolean('detached', detached, false),
    autoRemove: checkBoolean('autoRemove', autoRemove, false),
    ...checkStdin(stdin),
    logs: checkLogs(logs),
    restart: checkRestartOf(restart, autoRemove === true),
    health: checkHealth(health),
    name,
  }
}

const kNoDetachedPorts =
  'a detached container goes on without this process, which relays its ports: leave detached out, or reach it by container.connect()'
function checkRestartOf(value: unknown, autoRemove: boolean): RestartState | undefined {
  const restart = checkRestart(value)
  if (restart === undefined || !autoRemove) return restart
  throw new InvalidOptionError('restart', "'no' together with 'autoRemove'", value, 'leave one of the two out')
}

const kUseRun = 'Container.run() takes it; output of other containers is read with logs()'

function checkStdin(value: unknown): Pick<ContainerRecord, 'stdin'> {
  if (value === undefined || value === 'ignore') return {}
  if (value === 'open' || value === 'once') return { stdin: value }
  throw new InvalidOptionError('stdin', "'ignore', 'open' or 'once'", value, kUseRun)
}

function checkLogs(value: LogOptions | undefined): ContainerRecord['logs'] {
  if (value === undefined) return { maxBytes: kDefaultLogBytes, maxFiles: kDefaultLogFiles }
  const { maxSize, maxFiles } = checkObject('logs', value, ['maxSize', 'maxFiles'])
  return {
    maxBytes: checkBytes('logs.maxSize', maxSize) ?? kDefaultLogBytes,
    maxFiles: checkNumber('logs.maxFiles', maxFiles, { min: 1, max: kMaxLogFiles, integer: true }) ?? kDefaultLogFiles,
  }
}

const kQualities =
  'amber bold brisk calm clever copper crisp eager early fair gentle golden keen lively lucid mellow merry nimble noble patient plucky quick quiet ready silver steady stout swift tidy tranquil upright witty'
const kBoats =
  'barge bark brig canoe caravel catboat coble cog cutter dhow dinghy dory ferry frigate galley gig junk kayak ketch lighter lugger packet pinnace punt schooner scow shallop skiff sloop smack tender yawl'

/** A name of two words, such as `swift-ketch`. */
export function randomName(): string {
  const pick = (words: string): string => {
    const list = words.split(' ')
    return list[randomInt(list.length)] ?? 'boat'
  }
  return `${pick(kQualities)}-${pick(kBoats)}`
}
