// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { ImageHistoryEntry } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { parseBoolean, parseFormat } from '../flags/parsers.ts'
import { humanSince, humanSize } from '../format/human.ts'
import { shortId } from '../format/names.ts'
import { truncate } from '../format/printable.ts'
import { formatTable } from '../format/table.ts'

interface HistoryFlags {
  quiet?: boolean
  trunc: boolean
  human: boolean
  format?: 'json' | 'table'
  json?: boolean
}

const kStepLength = 45
const kMissing = '<missing>'

export function addHistory(parent: Command, cli: Cli): void {
  parent
    .command('history')
    .summary('show how an image was made')
    .description('Shows the steps that made an image, the last one first. Sizes are those of the packed layers.')
    .argument('<image>', 'name or id')
    .option('-q, --quiet', 'print only ids')
    .option('--no-trunc', 'show whole ids and commands')
    .option('-H, --human <boolean>', 'sizes and dates for people', parseBoolean, true)
    .option('--format <format>', 'json or table', parseFormat)
    .option('--json', 'print JSON')
    .action((name: string, flags: HistoryFlags) =>
      cli.withEngine(async (engine, { Image }) => {
        const image = await Image.get(name, { engine })
        const steps = [...(await image.history())].reverse()
        if (flags.json === true || flags.format === 'json') return cli.printJson(steps)
        const id = flags.trunc ? shortId(image.id) : image.id
        if (flags.quiet === true) return cli.print(...steps.map((_, index) => (index === 0 ? id : kMissing)))
        cli.stdout.write(historyTable(id, steps, { ...flags, nowMs: Date.now() }))
      }),
    )
}

/** Steps in the order given. Only the first one's image has an id, as registries keep none of the others. Pure. */
export function historyTable(
  id: string,
  steps: readonly ImageHistoryEntry[],
  { trunc, human, nowMs }: { readonly trunc: boolean; readonly human: boolean; readonly nowMs: number },
): string {
  const rows = steps.map(({ created, createdBy = '', comment = '', layer }, index) => [
    index === 0 ? id : kMissing,
    human ? humanSince(created, nowMs) : (created ?? 'N/A'),
    trunc ? truncate(createdBy, kStepLength) : createdBy,
    human ? humanSize(layer?.sizeBytes ?? 0) : String(layer?.sizeBytes ?? 0),
    comment,
  ])
  return formatTable(['IMAGE', 'CREATED', 'CREATED BY', 'SIZE', 'COMMENT'], rows)
}
