// SPDX-License-Identifier: MIT
import type { Cli } from '../cli.ts'
import { formatError, kFailure } from '../errors.ts'

/** Does something for each of several names; one that fails is reported, and does not keep the others from their turn. */
export async function eachName(
  cli: Cli,
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<void> {
  for (const name of names) {
    cli.signal.throwIfAborted()
    try {
      await work(name)
    } catch (error) {
      if (cli.signal.aborted) throw error
      cli.stderr.write(formatError(error, cli.isDebugging))
      cli.exitCode = kFailure
    }
  }
}
