// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { EngineEvent } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { parseEventFilters } from '../flags/filter-flags.ts'
import { parseMoment } from '../flags/moment.ts'
import { collect, parseFormat } from '../flags/parsers.ts'
import { printable, printableJson } from '../format/printable.ts'

interface EventsFlags {
  filter?: string[]
  since?: number
  until?: number
  format?: 'json' | 'table'
  json?: boolean
}

export function addEvents(parent: Command, cli: Cli): void {
  parent
    .command('events')
    .summary('show what happens')
    .description('Shows what happens on the root, in all processes, until Ctrl-C.')
    .option('-f, --filter <key=value>', 'type, event, container, image, volume or label; repeatable', collect)
    .option('--since <moment>', 'also from before: a date, seconds since 1970, or a time ago such as 10m', (text) =>
      parseMoment(text),
    )
    .option('--until <moment>', 'up to such a moment', (text) => parseMoment(text))
    .option('--format <format>', 'json, a line for each event', parseFormat)
    .option('--json', 'print JSON, a line for each event')
    .action((flags: EventsFlags) => events(cli, flags))
}

function events(cli: Cli, { filter = [], since, until, format, json }: EventsFlags): Promise<void> {
  const filters = parseEventFilters(filter)
  return cli.withEngine(async (engine) => {
    for await (const event of engine.events({ filters, since, until, signal: cli.signal })) {
      cli.print(json === true || format === 'json' ? printableJson(event) : eventLine(event))
    }
  })
}

/** Docker's line: time, type, action, id, and what else is known. Pure. */
export function eventLine({ time, type, action, id, name, attributes }: EngineEvent): string {
  // Docker says how it went with the action itself.
  const status =
    action === 'health_status'
      ? `: ${attributes.status}`
      : action === 'exec_create' || action === 'exec_start'
        ? `: ${attributes.command}`
        : ''
  const all = Object.entries({ ...attributes, name }).sort(([a], [b]) => (a < b ? -1 : 1))
  return printable(
    `${time} ${type} ${action}${status} ${id} (${all.map(([key, value]) => `${key}=${value}`).join(', ')})`,
  )
}
