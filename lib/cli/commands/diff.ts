// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { printable } from '../format/printable.ts'

const kLetters = { added: 'A', modified: 'C', deleted: 'D' } as const

export function addDiff(parent: Command, cli: Cli): void {
  parent
    .command('diff')
    .summary('show which files a container has changed')
    .description("Shows what a container has added (A), changed (C) and deleted (D) in its image's files.")
    .argument('<container>', 'name or id')
    .option('--json', 'print JSON')
    .action((name: string, { json }: { json?: boolean }) =>
      cli.withEngine(async (engine, { Container }) => {
        const container = await Container.get(name, { engine })
        const changes = await container.changes({ signal: cli.signal })
        if (json === true) return cli.printJson(changes)
        cli.print(...changes.map(({ path, kind }) => `${kLetters[kind]} ${printable(path)}`))
      }),
    )
}
