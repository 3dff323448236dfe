// SPDX-License-Identifier: MIT
import { CliError, kFlagError } from '../errors.ts'

/**
 * Puts variables together: those of files first, so that `-e` has the last word. `NAME` alone takes the value from the environment
 * of wherry, and is left out where there is none.
 */
export function collectEnv(
  files: readonly { readonly path: string; readonly text: string }[],
  flags: readonly string[],
  own: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const fromFiles = files.flatMap(({ path, text }) => parseEnvFile(text, path))
  const env: Record<string, string> = {}
  for (const line of [...fromFiles, ...flags]) {
    const equals = line.indexOf('=')
    const name = equals < 0 ? line : line.slice(0, equals)
    if (name === '') throw new CliError("The flag '--env' takes NAME=value or NAME.", { exitCode: kFlagError })
    const value = equals < 0 ? own[name] : line.slice(equals + 1)
    if (value !== undefined) env[name] = value
  }
  return env
}

/** Lines of `NAME=value` or `NAME`, as they stand: nothing is unquoted. Empty lines and those that begin with # do not count. */
export function parseEnvFile(text: string, path: string): string[] {
  return text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .map((line, index) => ({ line: line.trimStart(), number: index + 1 }))
    .filter(({ line }) => line !== '' && !line.startsWith('#'))
    .map(({ line, number }) => {
      const [name = ''] = line.split('=')
      // The line itself may hold a secret.
      if (name === '' || /\s/.test(name)) {
        throw new CliError(`Line ${number} of ${path} does not begin with the name of a variable.`, {
          exitCode: kFlagError,
        })
      }
      return line
    })
}
