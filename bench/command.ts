// SPDX-License-Identifier: MIT
import { type SpawnOptions, spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { basename, delimiter, join } from 'node:path'

/** Options of a command. */
export interface CommandOptions extends SpawnOptions {
  /** A descriptor for standard input. @default /dev/null */
  inputFd?: number | undefined
}

/** How a command ended and what it wrote. */
export interface CommandResult {
  exitCode: number | null
  killSignal: NodeJS.Signals | null
  stdout: Buffer
  stderr: Buffer
}

/**
 * Runs a command with child_process.spawn: no standard input, output and error collected.
 * This is both the yardstick of the benchmark and the way its command-line peers are started.
 */
export function runCommand(
  file: string,
  args: readonly string[],
  { inputFd, ...options }: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...options, stdio: [inputFd ?? 'ignore', 'pipe', 'pipe'] })
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
    child.once('error', reject)
    child.once('close', (exitCode, killSignal) => {
      resolve({ exitCode, killSignal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) })
    })
  })
}

/**
 * Runs a command that has to succeed.
 * @returns its standard output, trimmed
 * @throws {Error} with the program's name and the end of its standard error
 */
export async function requireSuccess(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await runCommand(file, args, options)
  if (result.exitCode !== 0) {
    const end = result.killSignal ?? `exit code ${result.exitCode}`
    const words = result.stderr.toString().trim().split('\n').slice(-3).join(' / ')
    throw new Error(`${basename(file)} ended with ${end}: ${words}`)
  }
  return result.stdout.toString().trim()
}

/** Finds an executable in PATH; undefined where there is none. */
export async function findExecutable(name: string): Promise<string | undefined> {
  for (const directory of (process.env.PATH ?? '').split(delimiter).filter(Boolean)) {
    const candidate = join(directory, name)
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return candidate
  }
  return undefined
}
