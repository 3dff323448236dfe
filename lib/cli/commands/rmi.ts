// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { shortName } from '../format/names.ts'
import { eachName } from './each-name.ts'

interface RmiFlags {
  force?: boolean
  json?: boolean
}

export function addRmi(parent: Command, cli: Cli, name = 'rmi'): void {
  parent
    .command(name)
    .summary('remove images')
    .description('Takes names away from images. An image goes with its last name, or at once where its id is given.')
    .argument('<image...>', 'names or ids')
    .option('-f, --force', 'also images that containers use, and ids with names in several repositories')
    .option('--json', 'print the result as JSON')
    .action((names: string[], flags: RmiFlags) => rmi(cli, names, flags))
}

function rmi(cli: Cli, names: readonly string[], { force, json }: RmiFlags): Promise<void> {
  return cli.withEngine(async (engine, { Image, NotFoundError }) => {
    const results: object[] = []
    await eachName(cli, names, async (name) => {
      const { id } = await Image.get(name, { engine }).catch((error: unknown) => {
        if (force === true && error instanceof NotFoundError) return { id: undefined }
        throw error
      })
      // As with Docker, force makes nothing of an image that is not there.
      if (id === undefined) return cli.tell(`wherry: image ${name} is not here`)
      const { untagged, deleted } = await Image.remove(name, { engine, force })
      results.push({ id, untagged, deleted })
      if (json === true) return
      cli.print(...untagged.map((reference) => `Untagged: ${shortName(reference)}`))
      if (deleted) cli.print(`Deleted: ${id}`)
    })
    if (json === true) cli.printJson(results)
  })
}
