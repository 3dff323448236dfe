// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { ImageInspection } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { parseFormat } from '../flags/parsers.ts'
import { eachName } from './each-name.ts'

export function addInspect(parent: Command, cli: Cli): void {
  parent
    .command('inspect')
    .summary('show everything that is known of images')
    .description('Prints everything that is known of images as a JSON array.')
    .argument('<image...>', 'names or ids')
    .option('--type <type>', 'image is the only one so far')
    .option('-f, --format <format>', 'json', parseFormat)
    .option('--json', 'JSON, as without it')
    .action((names: string[]) =>
      cli.withEngine(async (engine, { Image }) => {
        const found: ImageInspection[] = []
        await eachName(cli, names, async (name) => {
          found.push(await (await Image.get(name, { engine })).inspect())
        })
        cli.printJson(found)
      }),
    )
}
