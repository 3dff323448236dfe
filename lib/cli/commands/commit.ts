// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { parseChanges } from '../flags/change-instructions.ts'
import { collect, parseBoolean } from '../flags/parsers.ts'

interface CommitFlags {
  author?: string
  message?: string
  change?: string[]
  pause: boolean
  json?: boolean
}

export function addCommit(parent: Command, cli: Cli): void {
  parent
    .command('commit')
    .summary('make an image of what a container has become')
    .description("Makes an image of a container's image and what the container has written since, and prints its id.")
    .argument('<container>', 'name or id')
    .argument('[image]', 'name of the image, such as my/base:1')
    .option('-a, --author <name>', 'for the history')
    .option('-m, --message <text>', 'for the history')
    .option('-c, --change <instruction>', "such as 'CMD [\"sh\"]' or 'ENV A=b'; repeatable", collect)
    .option('-p, --pause [boolean]', 'pause the container meanwhile', parseBoolean, true)
    .option('--no-pause', 'do not')
    .option('--json', 'print the result as JSON')
    .action((name: string, reference: string | undefined, flags: CommitFlags) => commit(cli, name, reference, flags))
}

function commit(cli: Cli, name: string, reference: string | undefined, flags: CommitFlags): Promise<void> {
  const { author, message, change = [], pause, json } = flags
  const changes = parseChanges(change)
  return cli.withEngine(async (engine, { Container }) => {
    const container = await Container.get(name, { engine })
    const options = { author, message, changes, pause, signal: cli.signal }
    const { id, digest, tags } = await container.commit(reference, options)
    if (json === true) return cli.printJson({ id, digest, tags })
    cli.print(id)
  })
}
