// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'

export function addTag(parent: Command, cli: Cli): void {
  parent
    .command('tag')
    .summary('give an image another name')
    .description('Gives an image another name. An image that had the name loses it.')
    .argument('<image>', 'name or id')
    .argument('<name>', 'the new name, such as registry.example/app:1')
    .action((source: string, name: string) =>
      cli.withEngine(async (engine, { Image }) => {
        await (await Image.get(source, { engine })).tag(name)
      }),
    )
}
