import { spawn } from 'node:child_process'
import { isAbsolute } from 'node:path'
import * as v from 'valibot'
import { WherryError } from '../errors.ts'
import { printable } from './answer-error.ts'
import type { RegistryAuth } from './credentials.ts'

const kTimeoutMs = 30_000
const kMaxOutputBytes = 1024 * 1024
/** What helpers print where they have nothing; some of them on standard output, some on standard error. */
const kNotFound = /credentials not found|no credentials server URL|the specified item could not be found/i

const answerSchema = v.object({ Username: v.optional(v.string(), ''), Secret: v.optional(v.string(), '') })

/**
 * Asks a credential helper for a registry's credentials.
 *
 * @returns `undefined` where the helper has none.
 * @throws {WherryError} `ERR_CREDENTIALS` where it fails. What it printed on standard output never enters the message.
 * @source https://github.com/docker/docker-credential-helpers/tree/v0.8.2#development
 */
export async function askHelper(
  helper: string,
  server: string,
  signal?: AbortSignal,
): Promise<RegistryAuth | undefined> {
  const result = await runHelper(helper, 'get', server, signal)
  if (result.exitCode !== 0) {
    if (kNotFound.test(result.stdout) || kNotFound.test(result.stderr)) return undefined
    throw helperError(helper, 'get', result)
  }
  let answer: v.InferOutput<typeof answerSchema>
  try {
    answer = v.parse(answerSchema, JSON.parse(result.stdout))
  } catch {
    throw helperError(helper, 'get', { ...result, stderr: 'its answer is not JSON with Username and Secret' })
  }
  if (answer.Secret === '') return undefined
  if (answer.Username === '<token>') return { identityToken: answer.Secret }
  return { username: answer.Username, password: answer.Secret }
}

/** Hands credentials to a helper. @throws {WherryError} `ERR_CREDENTIALS` */
export async function storeWithHelper(
  helper: string,
  server: string,
  credentials: { username: string; secret: string },
  signal?: AbortSignal,
): Promise<void> {
  const input = JSON.stringify({ ServerURL: server, Username: credentials.username, Secret: credentials.secret })
  const result = await runHelper(helper, 'store', input, signal)
  if (result.exitCode !== 0) throw helperError(helper, 'store', result)
}

/** Makes a helper forget a registry. @returns whether it knew it. */
export async function eraseWithHelper(helper: string, server: string, signal?: AbortSignal): Promise<boolean> {
  const result = await runHelper(helper, 'erase', server, signal)
  if (result.exitCode === 0) return true
  if (kNotFound.test(result.stdout) || kNotFound.test(result.stderr)) return false
  throw helperError(helper, 'erase', result)
}

interface HelperResult {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

function helperError(helper: string, action: string, result: HelperResult): WherryError {
  const why = printable(result.stderr) || `it ended with status ${result.exitCode ?? 'of a signal'}`
  return new WherryError(`Credential helper docker-credential-${helper} failed to ${action}: ${why}.`, {
    code: 'ERR_CREDENTIALS',
    hint: 'pass auth, or correct credsStore and credHelpers in the file that names the helper',
  })
}

function runHelper(
  helper: string,
  action: string,
  input: string,
  signal: AbortSignal | undefined,
): Promise<HelperResult> {
  // podman's files may name a helper by its whole path; nothing else with a slash is a name.
  const program = isAbsolute(helper) ? helper : `docker-credential-${helper}`
  if (!isAbsolute(helper) && !/^[\w.+-]+$/.test(helper)) {
    throw helperError(printable(helper), action, { exitCode: null, stdout: '', stderr: 'that is no name of a helper' })
  }
  return new Promise((resolve, reject) => {
    const options = { timeout: kTimeoutMs, killSignal: 'SIGKILL' as const, ...(signal === undefined ? {} : { signal }) }
    const child = spawn(program, [action], { ...options, stdio: ['pipe', 'pipe', 'pipe'] })
    const output = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] += text
        if (output[name].length > kMaxOutputBytes) child.kill('SIGKILL')
      })
    }
    child.on('error', (cause: NodeJS.ErrnoException) => {
      if (signal?.aborted) return reject(signal.reason)
      const stderr = cause.code === 'ENOENT' ? 'it is not installed' : cause.message
      return reject(helperError(helper, action, { exitCode: null, stdout: '', stderr }))
    })
    child.on('close', (exitCode) => resolve({ exitCode, ...output }))
    // A helper that ends without reading says why by its status.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
  })
}
