// SPDX-License-Identifier: MIT
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { type Command, InvalidArgumentError } from 'commander'
import type { ContainerLogOptions, LogLine } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { parseMoment } from '../flags/moment.ts'
import { addRefusal } from '../flags/refusal.ts'

interface LogsFlags {
  follow?: boolean
  tail?: number | 'all'
  since?: number
  until?: number
  timestamps?: boolean
}

export function addLogs(parent: Command, cli: Cli): void {
  const command = parent
    .command('logs')
    .summary('show what a container wrote')
    .description('Shows what a container in the background wrote, each stream on our own of the same name.')
    .argument('<container>', 'name or id')
    .option('-f, --follow', 'go on with what it writes until it has ended')
    .option('-n, --tail <number>', "the last lines only, or 'all'", parseTail)
    .option('--since <moment>', 'from a date, seconds since 1970, or a time ago such as 10m', (text) =>
      parseMoment(text),
    )
    .option('--until <moment>', 'before such a moment', (text) => parseMoment(text))
    .option('-t, --timestamps', 'show when each line was written')
    .action((name: string, flags: LogsFlags) => logs(cli, name, flags))
  addRefusal(command, '--details', 'there are none')
}

function parseTail(text: string): number | 'all' {
  if (text === 'all' || text === '-1') return 'all'
  if (/^\d{1,6}$/.test(text)) return Number(text)
  throw new InvalidArgumentError("It must be a number of lines below a million, or 'all'.")
}

function logs(cli: Cli, name: string, flags: LogsFlags): Promise<void> {
  const { follow = false, tail, since, until } = flags
  return cli.withEngine(async (engine, { Container }) => {
    const container = await Container.get(name, { engine })
    const query: ContainerLogOptions = { follow, since, until, signal: cli.signal }
    const format = new LineFormat(flags.timestamps === true)
    for await (const line of container.logs({ ...query, tail: tail === 'all' ? undefined : tail })) {
      await write(cli, cli[line.stream], format.textOf(line))
    }
  })
}

/** Waits where the reader is slow. @throws {Interrupted} */
async function write(cli: Cli, target: Writable, text: string): Promise<void> {
  if (!target.write(text)) await once(target, 'drain', { signal: cli.signal }).catch(() => undefined)
  cli.signal.throwIfAborted()
}

/** Lines as they were written: one that goes on gets no newline, and one that is gone on with no second time. */
export class LineFormat {
  readonly #timestamps: boolean
  readonly #goesOn = { stdout: false, stderr: false }

  constructor(timestamps: boolean) {
    this.#timestamps = timestamps
  }

  textOf({ stream, time, line, partial }: LogLine): string {
    const start = this.#timestamps && !this.#goesOn[stream] ? `${time} ` : ''
    this.#goesOn[stream] = partial
    return `${start}${line}${partial ? '' : '\n'}`
  }
}
