// SPDX-License-Identifier: MIT
import { Writable } from 'node:stream'
import { type Command, Option } from 'commander'
import type { ImageSaveOptions } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { CliError } from '../errors.ts'
import { archiveItem } from '../progress/item.ts'
import { withProgress } from '../progress/progress.ts'

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
    .description('Writes images with their names to one archive, on standard output or in a file.')
    .argument('<image...>', 'names or ids')
    .option('-o, --output <file>', 'write to a file, or a directory with oci-dir')
    .addOption(
      new Option('--format <format>', 'oci-archive is read by podman, skopeo and Docker since version 25')
        .choices(Object.keys(kFormats))
        .default('oci-archive'),
    )
    .addOption(new Option('--compression <kind>', 'pack layers anew').choices(['gzip', 'zstd', 'none']))
    .option('-q, --quiet', 'show no progress')
    .action((names: string[], flags: SaveFlags) => save(cli, names, flags))
}

function save(cli: Cli, names: readonly string[], flags: SaveFlags): Promise<void> {
  const { output, format, compression, quiet } = flags
  if (output === undefined && cli.stdout.isTTY) {
    throw new CliError('Archives are not for terminals.', { hint: 'give a file with --output, or redirect the output' })
  }
  return cli.withEngine(async (engine, { Image }) => {
    const images = await Promise.all(names.map((name) => Image.get(name, { engine })))
    const options = { format: kFormats[format], compression, signal: cli.signal }
    // A pipe between two commands shows the progress of the one that reads.
    await withProgress(cli, { quiet: quiet === true || output === undefined }, (show) =>
      Image.save(images, output ?? outputStream(cli), {
        ...options,
        onProgress: (progress) => show(archiveItem(output ?? 'archive', progress)),
      }),
    )
  })
}

/** Standard output that can be ended without closing it, as the library ends what it writes to. */
function outputStream({ stdout }: Cli): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      stdout.write(chunk, (error) => done(error))
    },
  })
}
