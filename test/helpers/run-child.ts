// SPDX-License-Identifier: MIT
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'

export interface ChildResult {
  exitCode: number | null
  killSignal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface RunOptions extends Pick<SpawnOptions, 'cwd' | 'env' | 'uid' | 'gid'> {
  /** Written to standard input, which is then closed. @default nothing */
  input?: string
  /** The child is killed by SIGKILL after this long. @default 60_000 */
  timeoutMs?: number
  /** Called with the running child, for tests that interfere with it. */
  onSpawn?: (child: ChildProcess) => void
}

/** Runs a command to its end and collects its output. Rejects only where the command cannot be started. */
export function runChild(command: string, args: readonly string[], options: RunOptions = {}): Promise<ChildResult> {
  const { input, timeoutMs = 60_000, onSpawn, ...spawnOptions } = options
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...spawnOptions, stdio: 'pipe', timeout: timeoutMs, killSignal: 'SIGKILL' })
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
    child.on('error', reject)
    child.on('close', (exitCode, killSignal) => {
      const text = (chunks: Buffer[]): string => Buffer.concat(chunks).toString()
      resolve({ exitCode, killSignal, stdout: text(stdout), stderr: text(stderr) })
    })
    // A child that ends without reading is no concern of the test.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    onSpawn?.(child)
  })
}

/** Runs a command and rejects, with what it printed, unless it exits with 0. @returns its standard output */
export async function runOk(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await runChild(command, args, options)
  if (result.exitCode !== 0) {
    const how = result.killSignal ?? `status ${result.exitCode}`
    throw new Error(`${command} ${args.join(' ')} ended with ${how}\n${result.stderr}${result.stdout}`)
  }
  return result.stdout
}

/** Runs an ECMAScript module given as text in a fresh Node, from `cwd`, where its imports are looked up. */
export function runModule(source: string, options: RunOptions = {}): Promise<ChildResult> {
  return runChild(process.execPath, ['--input-type=module', '--eval', source], options)
}
