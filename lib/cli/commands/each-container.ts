// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Container } from '../../index.ts'
import type { Cli, Library } from '../cli.ts'
import { eachName } from './each-name.ts'

/** Does something with each container that is named, and prints the name once it is done, as Docker does. */
export function eachContainer(
  cli: Cli,
  names: readonly string[],
  work: (container: Container, library: Library) => Promise<unknown>,
): Promise<void> {
  return cli.withEngine((engine, library) =>
    eachName(cli, names, async (name) => {
      await work(await library.Container.get(name, { engine }), library)
      cli.print(name)
    }),
  )
}

/** A command that is about containers by name. */
export function containersCommand(parent: Command, name: string, summary: string, description: string): Command {
  return parent.command(name).summary(summary).description(description).argument('<container...>', 'names or ids')
}
