// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { CliError } from '../errors.ts'
import { parseImageFilters } from '../flags/filter-flags.ts'
import { collect } from '../flags/parsers.ts'
import { humanSize } from '../format/human.ts'
import { shortName } from '../format/names.ts'
import { confirm } from '../prompt.ts'
import { addHistory } from './history.ts'
import { addImages } from './images.ts'
import { addImport } from './import.ts'
import { addInspect } from './inspect.ts'
import { addLoad } from './load.ts'
import { addPull } from './pull.ts'
import { addPush } from './push.ts'
import { addRmi } from './rmi.ts'
import { addSave } from './save.ts'
import { addTag } from './tag.ts'

interface PruneFlags {
  all?: boolean
  force?: boolean
  filter?: string[]
  json?: boolean
}

/** Adds `wherry image …`: the same commands once more, and `prune`. */
export function addImage(parent: Command, cli: Cli): void {
  const image = parent.command('image').summary('commands for images').description('Commands for images.')
  addImages(image, cli, 'ls')
  addRmi(image, cli, 'rm')
  addInspect(image, cli, 'image')
  for (const add of [addPull, addPush, addTag, addHistory, addSave, addLoad, addImport]) add(image, cli)
  image
    .command('prune')
    .summary('remove images that nobody needs')
    .description('Removes images without name that no container uses, and what no image needs.')
    .option('-a, --all', 'also images with names')
    .option('-f, --force', 'do not ask')
    .option('--filter <key=value>', 'label, label! or until, such as until=24h; repeatable', collect)
    .option('--json', 'print the result as JSON')
    .action((flags: PruneFlags) => prune(cli, flags))
}

async function prune(cli: Cli, { all, force, filter = [], json }: PruneFlags): Promise<void> {
  const { until, dangling, label, notLabel, reference, ...others } = parseImageFilters(filter)
  const [other] = Object.keys(others)
  if (other !== undefined) throw new CliError(`'wherry image prune' has no filter '${other}'.`)
  const what = all === true ? 'all images that no container uses' : 'all images without name that no container uses'
  if (force !== true) await confirm(cli, `This will remove ${what}.`)
  await cli.withEngine(async (engine, { Image }) => {
    const filters = { label, notLabel, reference }
    const result = await Image.prune({ engine, until, filters, dangling: dangling ?? all !== true })
    if (json === true) return cli.printJson(result)
    for (const { id, tags } of result.removed) {
      cli.print(...tags.map((tag) => `Untagged: ${shortName(tag)}`), `Deleted: ${id}`)
    }
    cli.print(`Total reclaimed space: ${humanSize(result.reclaimedBytes)}`)
  })
}
