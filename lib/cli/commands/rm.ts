// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { addRefusal } from '../flags/refusal.ts'
import { containersCommand } from './each-container.ts'
import { eachName } from './each-name.ts'

export function addRm(parent: Command, cli: Cli): void {
  const command = containersCommand(
    parent,
    'rm',
    'remove containers',
    'Removes containers with their files and their logs.',
  )
    .option('-f, --force', 'also those that run, which SIGKILL ends')
    .option('-v, --volumes', 'also the volumes that were made for them alone')
    .action((names: string[], { force, volumes }: { force?: boolean; volumes?: boolean }) =>
      rm(cli, names, { force: force === true, volumes: volumes === true }),
    )
  addRefusal(command, '-l, --link', 'containers have no links')
}

function rm(cli: Cli, names: readonly string[], options: { force: boolean; volumes: boolean }): Promise<void> {
  return cli.withEngine((engine, { Container, NotFoundError }) =>
    eachName(cli, names, async (name) => {
      try {
        const container = await Container.get(name, { engine })
        await container.remove(options)
        cli.print(name)
      } catch (error) {
        // As with Docker, force makes nothing of a container that is not there.
        if (!options.force || !(error instanceof NotFoundError)) throw error
        cli.tell(`wherry: container ${name} is not here`)
      }
    }),
  )
}

export function addRename(parent: Command, cli: Cli): void {
  parent
    .command('rename')
    .summary('give a container another name')
    .description('Gives a container another name.')
    .argument('<container>', 'name or id')
    .argument('<name>', 'the new name')
    .action((container: string, name: string) =>
      cli.withEngine(async (engine, { Container }) => {
        await (await Container.get(container, { engine })).rename(name)
      }),
    )
}
