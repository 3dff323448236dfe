// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Engine, VolumeInspection } from '../../index.ts'
import type { Cli, Library } from '../cli.ts'
import { parseVolumeFilters } from '../flags/filter-flags.ts'
import { collect, parseFormat } from '../flags/parsers.ts'
import { addRefusal } from '../flags/refusal.ts'
import { splitPair } from '../flags/run-options.ts'
import { humanSize } from '../format/human.ts'
import { formatTable } from '../format/table.ts'
import { confirm } from '../prompt.ts'
import { eachName } from './each-name.ts'

/** Adds `wherry volume …`. */
export function addVolume(parent: Command, cli: Cli): void {
  const volume = parent
    .command('volume')
    .summary('commands for volumes')
    .description('Commands for volumes: directories that outlive containers.')
  for (const add of [addCreate, addInspect, addLs, addPrune, addRm]) add(volume, cli)
}

function addCreate(parent: Command, cli: Cli): void {
  const command = parent
    .command('create')
    .summary('make a volume')
    .description('Makes a volume and prints its name. One that is there stays as it is.')
    .argument('[volume]', 'its name (default: 64 hexadecimal digits)')
    .option('--label <key[=value]>', 'label to find it by; repeatable', collect)
    .action((name: string | undefined, { label }: { label?: string[] }) =>
      cli.withEngine(async (engine, { Volume }) => {
        const labels = label === undefined ? undefined : Object.fromEntries(label.map((text) => splitPair(text)))
        cli.print((await Volume.create(name, { engine, labels })).name)
      }),
    )
  addRefusal(command, '-d, --driver <name>', 'volumes are directories of the state directory')
  addRefusal(command, '-o, --opt <name=value>', 'volumes are directories of the state directory')
}

function addInspect(parent: Command, cli: Cli): void {
  parent
    .command('inspect')
    .summary('show everything that is known of volumes')
    .description('Prints everything that is known of volumes as a JSON array.')
    .argument('<volume...>', 'names')
    .option('-f, --format <format>', 'json', parseFormat)
    .option('--json', 'JSON, as without it')
    .action((names: string[]) =>
      cli.withEngine(async (engine, { Volume }) => {
        const found: VolumeInspection[] = []
        await eachName(cli, names, async (name) => {
          found.push(await (await Volume.get(name, { engine })).inspect())
        })
        cli.printJson(found)
      }),
    )
}

interface ListFlags {
  quiet?: boolean
  filter?: string[]
  format?: 'json' | 'table'
  json?: boolean
}

function addLs(parent: Command, cli: Cli): void {
  parent
    .command('ls')
    .alias('list')
    .summary('list volumes')
    .description('Lists volumes by name.')
    .option('-q, --quiet', 'print only names')
    .option('-f, --filter <key=value>', 'name, label or dangling; repeatable', collect)
    .option('--format <format>', 'table or json', parseFormat)
    .option('--json', 'print JSON')
    .action((flags: ListFlags) => list(cli, flags))
}

async function list(cli: Cli, { quiet, filter = [], format, json }: ListFlags): Promise<void> {
  const filters = parseVolumeFilters(filter)
  await cli.withEngine(async (engine, { Volume }) => {
    const volumes = await Volume.list({ engine, filters })
    if (json === true || format === 'json') return cli.printJson(volumes)
    if (quiet === true) return cli.print(...volumes.map(({ name }) => name))
    // Docker's columns: its driver is the only one that wherry has.
    const rows = volumes.map(({ name }) => ['local', name])
    cli.stdout.write(formatTable(['DRIVER', 'VOLUME NAME'], rows))
  })
}

interface PruneFlags {
  all?: boolean
  force?: boolean
  filter?: string[]
  json?: boolean
}

function addPrune(parent: Command, cli: Cli): void {
  parent
    .command('prune')
    .summary('remove volumes that no container has')
    .description('Removes anonymous volumes that no container has.')
    .option('-a, --all', 'also volumes with names of their own')
    .option('-f, --force', 'do not ask')
    .option('--filter <key=value>', 'label or name; repeatable', collect)
    .option('--json', 'print the result as JSON')
    .action((flags: PruneFlags) => prune(cli, flags))
}

async function prune(cli: Cli, { all, force, filter = [], json }: PruneFlags): Promise<void> {
  const filters = parseVolumeFilters(filter, ['label', 'name'])
  const what = all === true ? 'all volumes' : 'all anonymous volumes'
  if (force !== true) await confirm(cli, `This will remove ${what} that no container has.`)
  await cli.withEngine(async (engine, { Volume }) => {
    const result = await Volume.prune({ engine, all: all === true, filters })
    if (json === true) return cli.printJson(result)
    if (result.removed.length > 0) cli.print('Deleted Volumes:', ...result.removed)
    cli.print(`Total reclaimed space: ${humanSize(result.reclaimedBytes)}`)
  })
}

function addRm(parent: Command, cli: Cli): void {
  parent
    .command('rm')
    .alias('remove')
    .summary('remove volumes')
    .description('Removes volumes with all that is in them. One that a container has stays.')
    .argument('<volume...>', 'names')
    .option('-f, --force', 'one that is not there is no error')
    .action((names: string[], { force }: { force?: boolean }) =>
      cli.withEngine((engine, library) =>
        eachName(cli, names, async (name) => {
          await remove(engine, library, name, force === true)
          cli.print(name)
        }),
      ),
    )
}

async function remove(engine: Engine, { Volume, NotFoundError }: Library, name: string, force: boolean): Promise<void> {
  try {
    await (await Volume.get(name, { engine })).remove({ force })
  } catch (error) {
    if (!force || !(error instanceof NotFoundError)) throw error
  }
}
