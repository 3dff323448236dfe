// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { CliError } from '../errors.ts'
import { printable } from '../format/printable.ts'
import { formatTable } from '../format/table.ts'

export function addTop(parent: Command, cli: Cli): void {
  parent
    .command('top')
    .summary('show the processes of a container')
    .description('Shows the processes of a container with the columns of ps -ef. Ids are those of the host.')
    .argument('<container>', 'name or id')
    .argument('[options...]')
    .option('--json', 'print JSON')
    .passThroughOptions()
    .action((name: string, options: string[], { json }: { json?: boolean }) => {
      if (options.some((option) => !/^-?(ef|aux)$/.test(option))) {
        throw new CliError('Options of ps are not supported: the columns are those of ps -ef.')
      }
      return cli.withEngine(async (engine, { Container }) => {
        const list = await (await Container.get(name, { engine })).top()
        if (json === true) return cli.printJson(list)
        const rows = list.processes.map((row) => row.map(printable))
        cli.stdout.write(formatTable([...list.titles], rows))
      })
    })
}
