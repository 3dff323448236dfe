// SPDX-License-Identifier: MIT
import { type Engine, engineOf } from './engine.ts'
import { ExitError, InvalidOptionError, NotFoundError, TimeoutError } from './errors.ts'
import { Image } from './image.ts'
import {
  type ContainerOptions,
  type NormalizedContainerOptions,
  normalizeContainerOptions,
} from './options/container-options.ts'
import type { RunResult } from './run-result.ts'
import { overflowError, type RunOutcome, runContainer } from './runtime/run-container.ts'

/** Options of {@link Container.run}. */
export type RunOptions = ContainerOptions<Engine>

/** A Linux container. */
export class Container {
  private constructor() {}

  /**
   * Runs a command in a new container and removes the container: create, start, wait, remove. Output is collected unless
   * `stdout` and `stderr` say otherwise.
   *
   * @param image - an {@link Image}, or a reference: see {@link Image.pull}, which gets it where it is not in the store.
   * @param command - program and arguments; no shell. Left out, the image's own command.
   * @throws {ExitError} when the program fails, unless `reject: false`. @throws {ContainerStartError} when it never ran:
   *   `exitCode` 127 not found, 126 not executable, 125 otherwise. @throws {InvalidOptionError} before anything is touched.
   * @example
   * const { stdout } = await Container.run(Image.host(), ['uname', '-a'])
   */
  static run(
    image: Image | string,
    command: readonly string[] | undefined,
    options: RunOptions & { encoding: 'buffer' },
  ): Promise<RunResult<Buffer>>
  static run(
    image: Image | string,
    command?: readonly string[],
    options?: RunOptions & { encoding?: BufferEncoding | undefined },
  ): Promise<RunResult>
  static run(
    image: Image | string,
    command?: readonly string[],
    options?: RunOptions,
  ): Promise<RunResult<string | Buffer>>
  static async run(
    image: Image | string,
    command?: readonly string[],
    options: RunOptions = {},
  ): Promise<RunResult<string | Buffer>> {
    const normalized = normalizeContainerOptions(command, options)
    const engine = await engineOf(options)
    const source = typeof image === 'string' ? await findOrPull(image, engine, options.signal) : image
    if (!(source instanceof Image)) throw new InvalidOptionError('image', 'an Image or a reference', image)
    const release = source.use()
    try {
      const runtime = await engine.runtime()
      const outcome = await runContainer(runtime, source, normalized).catch((error: unknown) => {
        throw engine.closed ? engine.closedError(error) : error
      })
      // close() ends what still runs; that is no result of the program's.
      if (engine.closed && outcome.exit.signal !== null && !outcome.timedOut) throw engine.closedError()
      return toResult(outcome, normalized)
    } finally {
      release()
    }
  }
}

/** An id names an image of the store only; a reference, also one that is still in its registry. */
async function findOrPull(name: string, engine: Engine, signal: AbortSignal | undefined): Promise<Image> {
  try {
    return await Image.get(name, { engine })
  } catch (error) {
    if (!(error instanceof NotFoundError) || /^(?:sha(?:256|512):)?[0-9a-f]{64,}$/.test(name)) throw error
    return Image.pull(name, { engine, signal })
  }
}

function toResult(outcome: RunOutcome, options: NormalizedContainerOptions): RunResult<string | Buffer> {
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
  if (options.reject && (exit.exitCode !== 0 || outcome.timedOut)) throw exitError(result, options)
  return result
}

const kMaxShown = 400

function exitError(result: RunResult<string | Buffer>, options: NormalizedContainerOptions): ExitError {
  if (result.timedOut) {
    const cause = new TimeoutError('The container', options.timeoutMs ?? 0)
    return new ExitError(cause.message, result, { code: cause.code })
  }
  const how = result.killSignal === null ? `exited with code ${result.exitCode}` : `was ended by ${result.killSignal}`
  const why = result.oomKilled ? ' after it ran out of memory' : ''
  const tail = typeof result.stderr === 'string' ? result.stderr.trim().slice(-kMaxShown) : ''
  const hint = result.oomKilled ? "raise 'memory'." : undefined
  return new ExitError(`The container ${how}${why}${tail === '' ? '.' : `: ${tail}`}`, result, { hint })
}
