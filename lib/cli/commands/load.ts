// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { CliError } from '../errors.ts'
import { shortName } from '../format/names.ts'
import { archiveItem } from '../progress/item.ts'
import { withProgress } from '../progress/progress.ts'

interface LoadFlags {
  input?: string
  platform?: string
  allPlatforms?: boolean
  quiet?: boolean
  json?: boolean
}

export function addLoad(parent: Command, cli: Cli): void {
  parent
    .command('load')
    .summary('read images from an archive')
    .description(
      'Reads images from an archive that docker, podman, skopeo or wherry saved, or from an OCI layout directory.',
    )
    .option('-i, --input <file>', 'read from a file or directory instead of standard input')
    .option('--platform <platform>', "which image, where there are several (default: this host's)")
    .option('--all-platforms', 'keep the images for all other platforms as well')
    .option('-q, --quiet', 'show no progress')
    .option('--json', 'print the result as JSON')
    .action((flags: LoadFlags) => load(cli, flags))
}

function load(cli: Cli, { input, platform, allPlatforms, quiet, json }: LoadFlags): Promise<void> {
  if (input === undefined && cli.stdin.isTTY) {
    throw new CliError('There is no archive on standard input.', { hint: 'give a file with --input, or redirect one' })
  }
  return cli.withEngine(async (engine, { Image }) => {
    const options = { engine, platform, allPlatforms, signal: cli.signal }
    const images = await withProgress(cli, { quiet, json }, (show) =>
      Image.load(input ?? cli.stdin, {
        ...options,
        onProgress: (progress) => show(archiveItem(input ?? 'standard input', progress)),
      }),
    )
    if (json === true) return cli.printJson(images.map(({ id, digest, tags }) => ({ id, digest, tags })))
    for (const { id, tags } of images) {
      if (tags.length === 0) cli.print(`Loaded image ID: ${id}`)
      else cli.print(...tags.map((tag) => `Loaded image: ${shortName(tag)}`))
    }
  })
}
