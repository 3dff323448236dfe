// SPDX-License-Identifier: MIT
import { setTimeout as delay } from 'node:timers/promises'
import { withTimeLimit } from '../async/deadline.ts'
import type { LogLine } from '../containers/log-record.ts'
import { ConflictError, type ContainerEnd, ContainerEndedError, ContainerStateError } from '../errors.ts'
import type { DirectoryChanges } from '../events/directory-changes.ts'
import type { NormalizedConnectTarget } from '../options/reach-options.ts'
import type { NormalizedCondition } from '../options/wait-options.ts'

/** Ways to look at one run of a container. All but the last can be aborted. */
export interface WaitProbes {
  readonly name: string
  /** Everything that it has written in this run, and writes until it ends. */
  lines(streams: readonly ('stdout' | 'stderr')[], signal: AbortSignal): AsyncIterable<readonly LogLine[]>
  /** Resolves when it has ended. */
  ended(signal: AbortSignal): Promise<ContainerEnd>
  /** Connects, and closes the connection. */
  connect(target: NormalizedConnectTarget, signal: AbortSignal): Promise<void>
  /** @returns the status of the answer. */
  httpStatus(target: NormalizedConnectTarget, path: string, signal: AbortSignal): Promise<number>
  /** @returns the last line that it wrote, where it failed. */
  exec(command: readonly string[], signal: AbortSignal): Promise<{ exitCode: number | null; output: string }>
  /** @returns `undefined` where there is no health check. */
  health(): Promise<string | undefined>
  /** Tells when that may have changed. */
  healthChanges(): Pick<DirectoryChanges, 'next' | 'close'>
  lastLines(): Promise<readonly string[]>
}

type Simple = Exclude<NormalizedCondition, { kind: 'all' | 'any' }>

const kFirstPauseMs = 5
const kLongestPauseMs = 100
const kSlowPauseMs = 200
/** What takes longer is tried again. */
const kAttemptMs = 15_000

/** Watches for single conditions. */
export class Watcher {
  readonly signal: AbortSignal
  readonly #probes: WaitProbes
  readonly #seen: Map<NormalizedCondition, string>

  /** @param seen - gets what was seen last of each condition, for messages. */
  constructor(probes: WaitProbes, seen: Map<NormalizedCondition, string>, signal: AbortSignal) {
    this.#probes = probes
    this.#seen = seen
    this.signal = signal
  }

  with(signal: AbortSignal): Watcher {
    return new Watcher(this.#probes, this.#seen, signal)
  }

  /** Resolves when it holds. @throws {ContainerEndedError} @throws `signal.reason` */
  async watch(condition: Simple): Promise<void> {
    switch (condition.kind) {
      case 'log':
        return await this.#log(condition)
      case 'exit':
        return await this.#exit(condition)
      case 'port':
        return await this.#poll(condition, kFirstPauseMs, async (signal) => {
          await this.#probes.connect(condition.target, signal)
          return true
        })
      case 'http':
        return await this.#poll(condition, kFirstPauseMs, async (signal) => {
          const status = await this.#probes.httpStatus(condition.target, condition.path, signal)
          return condition.accepts(status) || `status ${status}`
        })
      case 'exec':
        return await this.#poll(condition, kSlowPauseMs, async (signal) => {
          const { exitCode, output } = await this.#probes.exec(condition.command, signal)
          return exitCode === 0 || `exit code ${exitCode}${output === '' ? '' : ` (${output})`}`
        })
      case 'healthy':
        return await this.#healthy(condition)
    }
  }

  async #healthy(condition: Simple): Promise<void> {
    // Before the first look, so that no change comes between that and the next.
    const changes = this.#probes.healthChanges()
    try {
      await this.#tryUntil(
        condition,
        () => this.#health(),
        (signal) => changes.next(signal),
      )
    } finally {
      changes.close()
    }
  }

  async #health(): Promise<true | string> {
    const status = await this.#probes.health()
    if (status === undefined) {
      throw new ConflictError(
        `Container ${this.#probes.name} has no health check to wait for.`,
        'give it one, or wait for something else',
      )
    }
    return status === 'healthy' || status
  }

  async #log(condition: Simple & { kind: 'log' }): Promise<void> {
    let found = 0
    for await (const lines of this.#probes.lines(condition.streams, this.signal)) {
      found += lines.filter(({ line }) => condition.fits(line)).length
      if (found >= condition.times) return
      if (condition.times > 1) this.#seen.set(condition, `${found} of ${condition.times}`)
    }
    throw await this.#endedError(condition)
  }

  async #exit(condition: Simple & { kind: 'exit' }): Promise<void> {
    const end = await this.#probes.ended(this.signal)
    if (end.exitCode !== condition.exitCode) throw await this.#endedError(condition)
  }

  /** Tries again and again. @param attempt - says whether it holds, or what was seen instead. */
  #poll(condition: Simple, pauseMs: number, attempt: (signal: AbortSignal) => Promise<true | string>): Promise<void> {
    let wait = pauseMs
    return this.#tryUntil(condition, attempt, async (signal) => {
      await delay(wait, undefined, { signal })
      wait = Math.min(wait * 2, Math.max(pauseMs, kLongestPauseMs))
    })
  }

  /** @param next - waits until it is worth trying again. */
  async #tryUntil(
    condition: Simple,
    attempt: (signal: AbortSignal) => Promise<true | string>,
    next: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    let isOver = false
    const note = (): void => {
      isOver = true
    }
    // Also where it has been removed: whoever asks again hears of that.
    const over = this.#probes.ended(this.signal).then(note, note)
    while (!isOver) {
      const outcome = await this.#try(attempt)
      if (outcome === true) return
      this.#seen.set(condition, outcome)
      await Promise.race([next(this.signal).catch(() => undefined), over])
      this.signal.throwIfAborted()
    }
    throw await this.#endedError(condition)
  }

  async #try(attempt: (signal: AbortSignal) => Promise<true | string>): Promise<true | string> {
    const late = (): Error => new Error(`no answer within ${kAttemptMs} ms`)
    try {
      return await withTimeLimit(kAttemptMs, late, this.signal, attempt)
    } catch (error) {
      this.signal.throwIfAborted()
      if (error instanceof ConflictError) throw error
      // It has ended, which the loop sees; or it is paused, and goes on some day.
      if (error instanceof ContainerStateError) return `it is ${error.state}`
      return error instanceof Error ? error.message : String(error)
    }
  }

  async #endedError({ label }: Simple): Promise<ContainerEndedError> {
    const end = await this.#probes.ended(this.signal)
    return new ContainerEndedError(this.#probes.name, label, end, await lastLines(this.#probes))
  }
}

/** What the container has written last, as a sentence. */
export async function lastLines(probes: Pick<WaitProbes, 'lastLines'>): Promise<string> {
  const lines = await probes.lastLines().catch(() => [])
  if (lines.length === 0) return 'It has written nothing.'
  return `Its last output:\n${lines.map((line) => `  ${line.slice(0, kMaxLine)}`).join('\n')}`
}

const kMaxLine = 500
