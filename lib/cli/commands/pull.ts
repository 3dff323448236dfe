// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Engine, Image } from '../../index.ts'
import type { Cli, Library } from '../cli.ts'
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../flags/registry-flags.ts'
import { canonicalName } from '../format/names.ts'
import { pullItem } from '../progress/item.ts'
import { withProgress } from '../progress/progress.ts'

interface PullFlags extends RegistryFlags {
  quiet?: boolean
  json?: boolean
  platform?: string
  allPlatforms?: boolean
}

export function addPull(parent: Command, cli: Cli): void {
  const command = parent
    .command('pull')
    .summary('get an image from its registry')
    .description(
      'Gets an image from its registry. Asks whether the tag has moved, and downloads only what is not there yet.',
    )
    .argument('<image>', 'such as alpine, ghcr.io/owner/name:tag or name@sha256:…')
    .option('-q, --quiet', 'print only the name')
    .option('--json', 'print the result as JSON')
    .option('--platform <platform>', "which image, such as linux/arm64 (default: this host's)")
    .option('--all-platforms', 'keep the images for all other platforms as well')
  addRegistryFlags(command).action((name: string, flags: PullFlags) =>
    cli.withEngine((engine, library) => pull(cli, engine, library, name, flags)),
  )
}

async function pull(cli: Cli, engine: Engine, library: Library, name: string, flags: PullFlags): Promise<void> {
  const { quiet, json, platform, allPlatforms } = flags
  const before = await digestOf(engine, library, name)
  const options = { ...(await registryOptions(flags)), engine, platform, allPlatforms, signal: cli.signal }
  const image = await withProgress(cli, { quiet, json }, (show) =>
    library.Image.pull(name, { ...options, policy: 'always', onProgress: (progress) => show(pullItem(progress)) }),
  )
  const reference = canonicalName(name, image.tags)
  const isNew = image.digest !== before
  if (json === true) return cli.printJson({ ...describe(image), reference, isNew })
  if (quiet === true) return cli.print(reference)
  const status = isNew ? 'Downloaded newer image for' : 'Image is up to date for'
  cli.print(`Digest: ${image.digest}`, `Status: ${status} ${name}`, reference)
}

function describe({ id, digest, sizeBytes, platform }: Image): object {
  return { id, digest, sizeBytes, platform }
}

async function digestOf(engine: Engine, { Image, NotFoundError }: Library, name: string): Promise<string | undefined> {
  try {
    return (await Image.get(name, { engine })).digest
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}
