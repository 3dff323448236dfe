// SPDX-License-Identifier: MIT
import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Container, ContainerStats, Engine } from '../../index.ts'
import type { Cli, Library } from '../cli.ts'
import { parseFormat } from '../flags/parsers.ts'
import { humanSize } from '../format/human.ts'
import { shortId } from '../format/names.ts'
import { formatTable } from '../format/table.ts'

interface StatsFlags {
  all?: boolean
  /** commander's form of `--no-stream`. */
  stream: boolean
  /** And of `--no-trunc`. */
  trunc: boolean
  format?: 'json' | 'table'
  json?: boolean
}

/** A container and what it uses; nothing for one that does not run. */
interface Row {
  readonly id: string
  readonly name: string
  readonly stats: ContainerStats | undefined
}

const kPauseMs = 500
const kClear = '\u001b[H\u001b[J'
const kBinaryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

export function addStats(parent: Command, cli: Cli): void {
  parent
    .command('stats')
    .summary('show what containers use')
    .description('Shows what containers use of processors, memory, network and disks, again and again until Ctrl-C.')
    .argument('[container...]', 'names or ids (default: all that run)')
    .option('-a, --all', 'also those that do not run')
    .option('--no-stream', 'once only')
    .option('--no-trunc', 'show whole ids')
    .option('--format <format>', 'json or table', parseFormat)
    .option('--json', 'print JSON, an array each time')
    .action((names: string[], flags: StatsFlags) => stats(cli, names, flags))
}

function stats(cli: Cli, names: readonly string[], flags: StatsFlags): Promise<void> {
  return cli.withEngine(async (engine, library) => {
    for (;;) {
      const rows = await look(cli, engine, library, names, flags.all === true)
      show(cli, rows, flags)
      if (!flags.stream || (names.length > 0 && rows.every((row) => row.stats === undefined))) return
      await delay(kPauseMs, undefined, { signal: cli.signal }).catch(() => undefined)
      cli.signal.throwIfAborted()
    }
  })
}

async function look(
  cli: Cli,
  engine: Engine,
  { Container, ContainerStateError, NotFoundError }: Library,
  names: readonly string[],
  all: boolean,
): Promise<Row[]> {
  const named = names.length > 0 ? names : (await Container.list({ engine, all })).map(({ id }) => id)
  const containers = await Promise.all(
    named.map((name) =>
      Container.get(name, { engine }).catch((error: unknown) => {
        // Removed since it was listed.
        if (names.length > 0 || !(error instanceof NotFoundError)) throw error
        return undefined
      }),
    ),
  )
  const statsOf = (container: Container): Promise<ContainerStats | undefined> =>
    container.stats({ signal: cli.signal }).catch((error: unknown) => {
      if (error instanceof ContainerStateError || error instanceof NotFoundError) return undefined
      throw error
    })
  const found = containers.filter((container) => container !== undefined)
  return await Promise.all(
    found.map(async (container) => ({
      id: container.id,
      name: container.name,
      stats: await statsOf(container),
    })),
  )
}

function show(cli: Cli, rows: readonly Row[], flags: StatsFlags): void {
  if (flags.json === true || flags.format === 'json') {
    cli.printJson(rows.map(({ id, name, stats }) => ({ id, name, ...stats })))
    return
  }
  const redraw = flags.stream && cli.stdout.isTTY ? kClear : ''
  cli.stdout.write(redraw + statsTable(rows, flags.trunc))
}

/** Docker's columns. Pure. */
export function statsTable(rows: readonly Row[], trunc: boolean): string {
  const header = ['CONTAINER ID', 'NAME', 'CPU %', 'MEM USAGE / LIMIT', 'MEM %', 'NET I/O', 'BLOCK I/O', 'PIDS']
  const lines = rows.map(({ id, name, stats }) => {
    const { cpu, memory, network, io, pids } = stats ?? {}
    return [
      trunc ? shortId(id) : id,
      name,
      percent(cpu?.percent),
      `${size(memory?.usageBytes)} / ${size(memory?.limitBytes)}`,
      percent(memory?.percent),
      `${decimal(network?.receivedBytes)} / ${decimal(network?.sentBytes)}`,
      `${decimal(io?.readBytes)} / ${decimal(io?.writtenBytes)}`,
      String(pids?.current ?? '--'),
    ]
  })
  return formatTable(header, lines)
}

function percent(value: number | null | undefined): string {
  return value === null || value === undefined ? '--' : `${value.toFixed(2)}%`
}

function decimal(value: number | null | undefined): string {
  return value === null || value === undefined ? '--' : humanSize(value)
}

/** Memory is counted in powers of 1024, as Docker does. */
function size(value: number | null | undefined): string {
  if (value === null || value === undefined) return '--'
  const exponent = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), kBinaryUnits.length - 1)
  return `${Number((value / 1024 ** exponent).toPrecision(4))}${kBinaryUnits[exponent]}`
}
