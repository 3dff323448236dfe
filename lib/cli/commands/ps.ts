// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { ContainerInspection } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { parseContainerFilters } from '../flags/filter-flags.ts'
import { collect, parseFormat, parseInteger } from '../flags/parsers.ts'
import { addRefusal } from '../flags/refusal.ts'
import { humanDuration, humanSince } from '../format/human.ts'
import { shortId, shortName } from '../format/names.ts'
import { truncate } from '../format/printable.ts'
import { formatTable } from '../format/table.ts'

interface PsFlags {
  all?: boolean
  quiet?: boolean
  /** commander's form of `--no-trunc`. */
  trunc: boolean
  filter?: string[]
  last?: number
  latest?: boolean
  format?: 'json' | 'table'
  json?: boolean
}

const kCommandLength = 20

export function addPs(parent: Command, cli: Cli, name = 'ps'): void {
  const command = parent
    .command(name)
    .summary('list containers')
    .description('Lists the containers that run, newest first.')
    .option('-a, --all', 'also those that do not run')
    .option('-q, --quiet', 'print only ids')
    .option('--no-trunc', 'show whole ids and commands')
    .option('-f, --filter <key=value>', 'status, name, id, label, exited or ancestor; repeatable', collect)
    .option('-n, --last <number>', 'the newest ones, running or not', parseInteger)
    .option('-l, --latest', 'the newest one, running or not')
    .option('--format <format>', 'json or table', parseFormat)
    .option('--json', 'print JSON')
    .action((flags: PsFlags) => ps(cli, flags))
  addRefusal(command, '-s, --size', 'sizes of containers are not counted')
}

function ps(cli: Cli, flags: PsFlags): Promise<void> {
  const filters = parseContainerFilters(flags.filter ?? [])
  const last = flags.latest === true ? 1 : flags.last
  const isLimited = last !== undefined && last >= 0
  return cli.withEngine(async (engine, { Container }) => {
    const all = await Container.list({ engine, all: flags.all === true || isLimited, filters })
    const found = isLimited ? all.slice(0, last) : all
    if (flags.quiet === true) return cli.print(...found.map(({ id }) => (flags.trunc ? shortId(id) : id)))
    if (flags.json === true || flags.format === 'json') return cli.printJson(found)
    cli.stdout.write(containerTable(found, { trunc: flags.trunc, nowMs: Date.now() }))
  })
}

/** Docker's columns, without ports. Pure. */
export function containerTable(
  containers: readonly ContainerInspection[],
  { trunc, nowMs }: { readonly trunc: boolean; readonly nowMs: number },
): string {
  const header = ['CONTAINER ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'NAMES']
  const rows = containers.map((container) => {
    const { id, command, createdAt, name } = container
    const text = command.join(' ')
    return [
      trunc ? shortId(id) : id,
      imageName(container, trunc),
      `"${trunc ? truncate(text, kCommandLength) : text}"`,
      humanSince(createdAt, nowMs),
      statusText(container, nowMs),
      name,
    ]
  })
  return formatTable(header, rows)
}

function imageName({ image: { id, reference } }: ContainerInspection, trunc: boolean): string {
  if (reference !== null) return shortName(reference)
  if (id === null) return '(host)'
  return trunc ? shortId(id) : id
}

/** A state in Docker's words: `Up 3 minutes (Paused)`. */
export function statusText(container: ContainerInspection, nowMs: number): string {
  const { status, startedAt, finishedAt, exitCode } = container
  if (status === 'created') return 'Created'
  if (status === 'exited') return `Exited (${exitCode ?? 'unknown'}) ${humanSince(finishedAt ?? undefined, nowMs)}`
  if (status === 'restarting')
    return `Restarting (${exitCode ?? 'unknown'}) ${humanSince(finishedAt ?? undefined, nowMs)}`
  const up = startedAt === null ? 'Up' : `Up ${humanDuration(nowMs - Date.parse(startedAt))}`
  if (status === 'paused') return `${up} (Paused)`
  if (container.health === null) return up
  return `${up} (${container.health.status === 'starting' ? 'health: starting' : container.health.status})`
}
