// SPDX-License-Identifier: MIT
import { readFile } from 'node:fs/promises'
import { getSystemErrorMap } from 'node:util'
import { CliError, kFlagError } from './errors.ts'

/** Reads a file that a flag names. @param flag - such as `--tls-key`. @throws {CliError} naming both */
export async function readFlagFile(flag: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    const { code, errno, message } = error as NodeJS.ErrnoException
    const reason = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1]
    throw new CliError(`Cannot read ${path}, which ${flag} names: ${code ?? 'failed'} (${reason ?? message}).`, {
      exitCode: kFlagError,
    })
  }
}
