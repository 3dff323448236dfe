// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../flags/registry-flags.ts'
import { splitName } from '../format/names.ts'
import { pushItem } from '../progress/item.ts'
import { withProgress } from '../progress/progress.ts'

interface PushFlags extends RegistryFlags {
  quiet?: boolean
  json?: boolean
  allPlatforms?: boolean
}

export function addPush(parent: Command, cli: Cli): void {
  const command = parent
    .command('push')
    .summary('send an image to a registry')
    .description('Sends an image to a registry: only what the registry does not have.')
    .argument('<image>', 'name or id')
    .argument('[destination]', 'name to push to, instead of its own')
    .option('-q, --quiet', 'print only the name')
    .option('--json', 'print the result as JSON')
    .option('--all-platforms', 'push everything that the name stands for, all of which must be here')
  addRegistryFlags(command).action((name: string, destination: string | undefined, flags: PushFlags) =>
    push(cli, name, destination, flags),
  )
}

function push(cli: Cli, name: string, destination: string | undefined, flags: PushFlags): Promise<void> {
  const { quiet, json, allPlatforms } = flags
  return cli.withEngine(async (engine, { Image }) => {
    const image = await Image.get(name, { engine })
    const options = { ...(await registryOptions(flags)), allPlatforms, signal: cli.signal }
    // An id goes to the only name that the image has; a name is where to push to.
    const isId = image.id === name || image.id.slice('sha256:'.length).startsWith(name)
    const target = destination ?? (isId ? undefined : name)
    const result = await withProgress(cli, { quiet, json }, (show) =>
      image.push(target, { ...options, onProgress: (progress) => show(pushItem(progress)) }),
    )
    if (json === true) return cli.printJson(result)
    if (quiet === true) return cli.print(result.reference)
    const { tag } = splitName(result.reference)
    cli.print(`${tag}: digest: ${result.digest} size: ${result.sizeBytes}`)
  })
}
