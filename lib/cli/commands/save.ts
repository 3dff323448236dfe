// SPDX-License-Identifier: MIT
import { type Command, Option } from 'commander'
import type { Image, ImageSaveOptions } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { archiveItem } from '../progress/item.ts'
import { withProgress } from '../progress/progress.ts'
import { assertNoTerminal, outputStream } from './output-stream.ts'

/** Formats by the words of podman; Docker has no choice. */
const kFormats = { 'oci-archive': 'oci', 'docker-archive': 'docker', 'oci-dir': 'oci-dir' } as const

interface SaveFlags {
  output?: string
  format: keyof typeof kFormats
  compression?: ImageSaveOptions['compression']
  quiet?: boolean
}

export function addSave(parent: Command, cli: Cli): void {
  parent
    .command('save')
    .summary('write images to an archive')
    .description(
      'Writes images to one archive, on standard output or in a file: with the names that are given, or by ids without names.',
    )
    .argument('<image...>', 'names or ids')
    .option('-o, --output <file>', 'write to a file, or a directory with oci-dir')
    .addOption(
      new Option('--format <format>', 'oci-archive is read by podman, skopeo and Docker')
        .choices(Object.keys(kFormats))
        .default('oci-archive'),
    )
    .addOption(new Option('--compression <kind>', 'pack layers anew').choices(['gzip', 'zstd', 'none']))
    .option('-q, --quiet', 'show no progress')
    .action((names: string[], flags: SaveFlags) => save(cli, names, flags))
}

function save(cli: Cli, names: readonly string[], flags: SaveFlags): Promise<void> {
  const { output, format, compression, quiet } = flags
  if (output === undefined) assertNoTerminal(cli, 'give a file with --output, or redirect the output')
  return cli.withEngine(async (engine, { Image }) => {
    const images = await Promise.all(names.map((name) => Image.get(name, { engine })))
    // As with Docker: of names those that were given, of ids none.
    const tags = names.filter((name, position) => !isId(name, images[position]))
    const options = { format: kFormats[format], compression, tags, signal: cli.signal }
    // A pipe between two commands shows the progress of the one that reads.
    await withProgress(cli, { quiet: quiet === true || output === undefined }, (show) =>
      Image.save(images, output ?? outputStream(cli), {
        ...options,
        onProgress: (progress) => show(archiveItem(output ?? 'archive', progress)),
      }),
    )
  })
}

function isId(name: string, image: Image | undefined): boolean {
  const digests = [image?.id, image?.digest]
  return (
    name.includes('@') || digests.some((digest) => digest === name || digest?.startsWith(`sha256:${name}`) === true)
  )
}
