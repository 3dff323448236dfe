// SPDX-License-Identifier: MIT
import { Writable } from 'node:stream'
import type { Cli } from '../cli.ts'
import { CliError } from '../errors.ts'

/** Standard output that can be ended without closing it, as the library ends what it writes to. */
export function outputStream({ stdout }: Cli): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      stdout.write(chunk, (error) => done(error))
    },
  })
}

/** @throws {CliError} where standard output is a terminal. @param instead - what to do */
export function assertNoTerminal({ stdout }: Cli, instead: string): void {
  if (stdout.isTTY) throw new CliError('Archives are not for terminals.', { hint: instead })
}
