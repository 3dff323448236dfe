// SPDX-License-Identifier: MIT
import type { CreateOptions, LogOptions } from '../../index.ts'
import { CliError, kFlagError } from '../errors.ts'
import type { RunFlags } from './run-flags.ts'
import { type RunFiles, toRunOptions } from './run-options.ts'

/**
 * Turns Docker's flags into options of a container that goes on without this process. Pure.
 *
 * @throws {CliError} naming the flag, for what only containers in the foreground have.
 */
export function toCreateOptions(flags: RunFlags, files: RunFiles, verb: 'run' | 'create'): CreateOptions {
  refuse(flags, ['timeout', 'publish'])
  const { stopSignal, stopTimeout, rm, restart, logOpt } = flags
  return {
    ...(toRunOptions(flags, files) as CreateOptions),
    detached: true,
    autoRemove: rm === true,
    // As with Docker: one that is made for 'start -ai' reads to the end of that input, as with 'run -i'.
    ...(flags.interactive === true ? { stdin: verb === 'run' ? 'open' : 'once' } : {}),
    ...(stopSignal === undefined ? {} : { stopSignal }),
    ...(stopTimeout === undefined ? {} : { stopTimeoutMs: stopTimeout * 1000 }),
    ...(restart === undefined ? {} : { restart }),
    ...healthOptions(flags),
    ...(logOpt === undefined ? {} : { logs: logOptions(logOpt) }),
  }
}

function refuse(flags: RunFlags, names: readonly (keyof RunFlags)[]): void {
  const name = names.find((each) => flags[each] !== undefined)
  if (name === undefined) return
  throw new CliError(`'--${name}' is not supported for containers in the background.`, {
    exitCode: kFlagError,
    hint: kHints[name],
  })
}

const kHints: Partial<Record<keyof RunFlags, string>> = {
  timeout: "'wherry stop' ends them",
  publish: "who relays their ports is gone by then: run it in the foreground, or use '--network host'",
}

function healthOptions(flags: RunFlags): CreateOptions {
  if (flags.healthcheck === false) return { health: { test: ['NONE'] } }
  const health = {
    test: flags.healthCmd,
    intervalMs: flags.healthInterval,
    timeoutMs: flags.healthTimeout,
    retries: flags.healthRetries,
    startPeriodMs: flags.healthStartPeriod,
    startIntervalMs: flags.healthStartInterval,
  }
  return Object.values(health).some((value) => value !== undefined) ? { health } : {}
}

function logOptions(pairs: readonly string[]): LogOptions {
  const options: LogOptions = {}
  for (const pair of pairs) {
    const [, name, value = ''] = /^([a-z-]+)=(.+)$/.exec(pair) ?? []
    if (name === 'max-size') options.maxSize = value === '-1' ? 0 : value
    else if (name === 'max-file' && /^\d+$/.test(value)) options.maxFiles = Number(value)
    else {
      throw new CliError(`'--log-opt ${pair}' is not supported.`, {
        exitCode: kFlagError,
        hint: 'there are max-size, such as 20m, and max-file, a number',
      })
    }
  }
  return options
}
