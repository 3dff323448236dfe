// SPDX-License-Identifier: MIT
import { CommanderError } from 'commander'
import type { Cli } from './cli.ts'
import { CliError, formatError, Interrupted, kFailure, kFlagError, reportError, signalExitCode } from './errors.ts'
import { printableJson } from './format/printable.ts'
import { exitCodeOf, makeProgram } from './program.ts'

/** Runs one command line to its end. @returns what the process exits with */
export async function runCommandLine(cli: Cli, words: readonly string[]): Promise<number> {
  watchOutput(cli)
  try {
    await makeProgram(cli).parseAsync(words, { from: 'user' })
    return cli.isOutputLost ? kFailure : cli.exitCode
  } catch (error) {
    return explain(cli, error, words)
  } finally {
    // Nobody reads it any more; an open one would keep the process.
    cli.stdin.destroy()
  }
}

/** Says what went wrong, as far as that has not been said. @returns what the process exits with */
function explain(cli: Cli, error: unknown, words: readonly string[]): number {
  if (error instanceof CommanderError) return exitCodeOf(error)
  // Whoever sent the signal, or closed the pipe, knows.
  if (error instanceof Interrupted) return cli.isOutputLost ? kFailure : signalExitCode(error.killSignal)
  const command = commandOf(words)
  const wantsJson = words.includes('--json') && !kWithCommand.includes(command)
  if (wantsJson) cli.stderr.write(`${printableJson({ error: reportError(error) })}\n`)
  else cli.stderr.write(formatError(error, cli.isDebugging))
  const { exitCode } = error as { exitCode?: unknown }
  if (typeof exitCode === 'number') return exitCode
  // All errors before the container's own are 125 there.
  return command === 'run' ? kFlagError : kFailure
}

/** Commands whose words may be a container's. */
const kWithCommand: readonly string[] = ['run', 'create', 'exec']

function commandOf(words: readonly string[]): string {
  const [first = '', second = ''] = words.slice(words[0] === '--root' ? 2 : 0).filter((word) => !word.startsWith('-'))
  return first === 'container' ? second : first
}

/** A reader that goes away, as `head` does, ends the work without a word; a full disk ends it with one. */
function watchOutput(cli: Cli): void {
  cli.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && !cli.isOutputLost) {
      cli.isOutputLost = true
      cli.stderr.write(formatError(new CliError(`Cannot write to standard output: ${error.message}.`), false))
      // The work may be over already.
      process.exitCode = kFailure
    }
    cli.interrupts.abort('SIGPIPE')
  })
  // There is nobody left to tell.
  cli.stderr.on('error', () => cli.interrupts.abort('SIGPIPE'))
}
