// SPDX-License-Identifier: MIT
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { assertNoTerminal, outputStream } from './output-stream.ts'

export function addExport(parent: Command, cli: Cli): void {
  parent
    .command('export')
    .summary("write a container's files to a tar archive")
    .description(
      'Writes the whole root file system of a container, running or not, to a tar archive: on standard output or in a file. What is ' +
        'mounted in it is left out.',
    )
    .argument('<container>', 'name or id')
    .option('-o, --output <file>', 'write to a file')
    .action((name: string, { output }: { output?: string }) => exportContainer(cli, name, output))
}

function exportContainer(cli: Cli, name: string, output: string | undefined): Promise<void> {
  if (output === undefined) assertNoTerminal(cli, 'give a file with --output, or redirect the output')
  return cli.withEngine(async (engine, { Container }) => {
    const container = await Container.get(name, { engine })
    const archive = container.export({ signal: cli.signal })
    await pipeline(archive, output === undefined ? outputStream(cli) : createWriteStream(output))
  })
}
