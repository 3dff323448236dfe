// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { toCreateOptions } from '../flags/create-options.ts'
import { addRunFlags } from '../flags/run-flags.ts'
import { IdFile } from '../id-file.ts'
import { addSourceFlags, assertSourceNamed, readRunFiles, type SourceFlags, sourceOf } from './container-source.ts'

export function addCreate(parent: Command, cli: Cli): void {
  const command = parent
    .command('create')
    .summary('make a container without starting it')
    .description("Makes a container and prints its id. 'wherry start' starts it, in the background.")
    .usage('[options] <image> [command] [argument...]')
    .argument('[words...]')
    .helpOption('--help', 'display help for command')
    .passThroughOptions()
  addSourceFlags(command)
  addRunFlags(command)
  command.action((words: string[], flags: SourceFlags) => makeContainer(cli, words, flags, 'create'))
}

/** Makes a container that goes on without this process, starts it with `run`, and prints its id. */
export async function makeContainer(
  cli: Cli,
  words: readonly string[],
  flags: SourceFlags,
  verb: 'run' | 'create',
): Promise<void> {
  assertSourceNamed(words, flags, verb)
  const options = toCreateOptions(flags, await readRunFiles(flags), verb)
  await cli.withEngine(async (engine, library) => {
    await using idFile = await IdFile.open(flags.cidfile)
    const { image, name, command } = await sourceOf(cli, engine, library, words, flags)
    // The name that was asked for is what `ps` shows; of another platform's image there may be none that is unique.
    const source = name === undefined || flags.platform !== undefined ? image : name
    const make = verb === 'run' ? library.Container.start : library.Container.create
    const container = await make(source, { ...options, command, engine, signal: cli.signal })
    idFile.write(container.id)
    cli.print(container.id)
  })
}
