// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { CliError } from '../errors.ts'
import { parseChanges } from '../flags/change-instructions.ts'
import { collect } from '../flags/parsers.ts'
import { archiveItem } from '../progress/item.ts'
import { withProgress } from '../progress/progress.ts'

interface ImportFlags {
  change?: string[]
  platform?: string
  quiet?: boolean
  json?: boolean
}

export function addImport(parent: Command, cli: Cli): void {
  parent
    .command('import')
    .summary('make an image from the tar of a root file system')
    .description(
      'Makes an image with one layer from the tar of a root file system, plain or packed, and prints its id.',
    )
    .argument('<file>', 'path of the tar, or - for standard input')
    .argument('[name]', 'name of the image, such as my/base:1')
    .option('-c, --change <instruction>', "such as 'CMD [\"sh\"]' or 'ENV A=b'; repeatable", collect)
    .option('--platform <platform>', "what the image is for (default: this host's)")
    .option('-q, --quiet', 'show no progress')
    .option('--json', 'print the result as JSON')
    .action((source: string, name: string | undefined, flags: ImportFlags) => importImage(cli, source, name, flags))
}

function importImage(cli: Cli, source: string, name: string | undefined, flags: ImportFlags): Promise<void> {
  const { change = [], platform, quiet, json } = flags
  if (/^https?:\/\//.test(source)) {
    throw new CliError(`Cannot import ${source}: URLs are not fetched.`, {
      hint: `curl -fsSL ${source} | wherry import -`,
    })
  }
  if (source === '-' && cli.stdin.isTTY) throw new CliError('There is no archive on standard input.')
  const config = parseChanges(change)
  return cli.withEngine(async (engine, { Image }) => {
    const options = { engine, config, platform, reference: name, signal: cli.signal }
    const image = await withProgress(cli, { quiet, json }, (show) =>
      Image.import(source === '-' ? cli.stdin : source, {
        ...options,
        onProgress: (progress) => show(archiveItem(source === '-' ? 'standard input' : source, progress)),
      }),
    )
    const { id, digest, tags } = image
    if (json === true) return cli.printJson({ id, digest, tags })
    cli.print(id)
  })
}
