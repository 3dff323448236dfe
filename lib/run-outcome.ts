// SPDX-License-Identifier: MIT
import { ExitError, TimeoutError } from './errors.ts'
import type { NormalizedContainerOptions } from './options/container-options.ts'
import type { RunResult } from './run-result.ts'
import { overflowError, type RunOutcome } from './runtime/run-container.ts'

/** What of the options decides how an outcome is told. */
type ResultOptions = Pick<NormalizedContainerOptions, 'encoding' | 'maxOutputBytes' | 'reject' | 'timeoutMs'>

/** What a run resolves with. @throws {ExitError} when the program failed, unless `reject: false`. */
export function toResult(
  outcome: RunOutcome,
  options: ResultOptions,
  what = 'The container',
): RunResult<string | Buffer> {
  const { exit } = outcome
  const decode = (bytes: Buffer): string | Buffer =>
    options.encoding === 'buffer' ? bytes : bytes.toString(options.encoding)
  const result = {
    exitCode: exit.exitCode,
    killSignal: outcome.killSignal,
    stdout: decode(outcome.stdout),
    stderr: decode(outcome.stderr),
    oomKilled: outcome.oomKilled,
    timedOut: outcome.timedOut,
    durationMs: outcome.durationMs,
    usage: {
      cpuMicros: exit.userMicros + exit.systemMicros,
      userMicros: exit.userMicros,
      systemMicros: exit.systemMicros,
      maxRssBytes: exit.maxRssBytes,
    },
    id: outcome.id,
  }
  if (outcome.overflowed) throw overflowError(options.maxOutputBytes)
  if (options.reject && (exit.exitCode !== 0 || outcome.timedOut)) throw exitError(result, options, what)
  return result
}

const kMaxShown = 400

function exitError(result: RunResult<string | Buffer>, options: ResultOptions, what: string): ExitError {
  if (result.timedOut) {
    const cause = new TimeoutError(what, options.timeoutMs ?? 0)
    return new ExitError(cause.message, result, { code: cause.code })
  }
  const how = result.killSignal === null ? `exited with code ${result.exitCode}` : `was ended by ${result.killSignal}`
  const why = result.oomKilled ? ' after it ran out of memory' : ''
  const tail = typeof result.stderr === 'string' ? result.stderr.trim().slice(-kMaxShown) : ''
  const hint = result.oomKilled ? "raise 'memory'." : undefined
  return new ExitError(`${what} ${how}${why}${tail === '' ? '.' : `: ${tail}`}`, result, { hint })
}
