// SPDX-License-Identifier: MIT
import { type Command, Option } from 'commander'
import type { ContainerInspection, Engine, ImageInspection } from '../../index.ts'
import type { Cli, Library } from '../cli.ts'
import { CliError } from '../errors.ts'
import { parseFormat } from '../flags/parsers.ts'
import { addRefusal } from '../flags/refusal.ts'
import { eachName } from './each-name.ts'

type Kind = 'container' | 'image'
type Inspection = ContainerInspection | ImageInspection

/** @param only - of which kind the names are; either, where nothing is said */
export function addInspect(parent: Command, cli: Cli, only?: Kind): void {
  const what = only === undefined ? 'containers and images' : `${only}s`
  const command = parent
    .command('inspect')
    .summary(`show everything that is known of ${what}`)
    .description(`Prints everything that is known of ${what} as a JSON array.`)
    .argument(only === undefined ? '<name...>' : `<${only}...>`, 'names or ids')
    .option('-f, --format <format>', 'json', parseFormat)
    .option('--json', 'JSON, as without it')
    .action((names: string[], { type }: { type?: Kind }) => inspect(cli, names, type ?? only))
  if (only === undefined) {
    command.addOption(new Option('--type <type>', 'which of the two').choices(['container', 'image']))
  }
  addRefusal(command, '-s, --size', 'sizes of containers are not counted')
}

function inspect(cli: Cli, names: readonly string[], kind: Kind | undefined): Promise<void> {
  return cli.withEngine(async (engine, library) => {
    const found: Inspection[] = []
    await eachName(cli, names, async (name) => {
      found.push(await inspectOne(engine, library, name, kind))
    })
    cli.printJson(found)
  })
}

/** A container comes first, as with Docker. */
async function inspectOne(
  engine: Engine,
  { Container, Image, NotFoundError }: Library,
  name: string,
  kind: Kind | undefined,
): Promise<Inspection> {
  const container = async (): Promise<Inspection> => (await Container.get(name, { engine })).inspect()
  const image = async (): Promise<Inspection> => (await Image.get(name, { engine })).inspect()
  if (kind !== undefined) return kind === 'container' ? container() : image()
  try {
    return await container()
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
  }
  try {
    return await image()
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    throw new CliError(`There is no container and no image ${name} here.`, {
      hint: "'wherry ps -a' and 'wherry images' show what is here",
    })
  }
}
