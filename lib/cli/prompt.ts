// SPDX-License-Identifier: MIT
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import type { Cli } from './cli.ts'
import { CliError, Interrupted } from './errors.ts'

const kMaxSecretBytes = 64 * 1024

/** Asks a person on the terminal. @param hidden - nothing of the answer is shown. @throws {Interrupted} @throws {CliError} */
export async function ask(cli: Cli, question: string, hidden = false): Promise<string> {
  cli.signal.throwIfAborted()
  let isMuted = false
  const output = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      if (!isMuted) cli.stderr.write(chunk)
      done()
    },
  })
  const terminal = createInterface({ input: cli.stdin, output, terminal: true, historySize: 0 })
  try {
    return await new Promise<string>((resolve, reject) => {
      terminal.once('SIGINT', () => reject(new Interrupted('SIGINT')))
      terminal.once('close', () => reject(new CliError('No answer was given.')))
      cli.signal.addEventListener('abort', () => reject(cli.signal.reason), { once: true })
      terminal.question(question, resolve)
      isMuted = hidden
    })
  } finally {
    isMuted = false
    terminal.close()
    cli.stdin.pause()
    if (hidden) cli.stderr.write('\n')
  }
}

/** Asks whether to go on. @throws {CliError} when the answer is no, or there is nobody to ask. */
export async function confirm(cli: Cli, warning: string): Promise<void> {
  if (!cli.stdin.isTTY) throw new CliError(`${warning} There is no terminal to ask on.`, { hint: 'use --force' })
  cli.tell(`WARNING! ${warning}`)
  const answer = await ask(cli, 'Are you sure you want to continue? [y/N] ')
  if (!/^y(es)?$/i.test(answer.trim())) throw new CliError('Nothing was removed.')
}

/** Everything on standard input but the end of the line, for a password. @throws {CliError} */
export async function readSecret(cli: Cli): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of cli.stdin as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > kMaxSecretBytes) throw new CliError('Standard input is no password: it is longer than 64 KiB.')
    chunks.push(chunk)
  }
  const secret = Buffer.concat(chunks)
    .toString()
    .replace(/\r?\n$/, '')
  if (secret === '') throw new CliError('Standard input is empty: it should be the password.')
  return secret
}
