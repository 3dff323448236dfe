// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Image, ImageInspection } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { parseImageFilters } from '../flags/filter-flags.ts'
import { collect, parseFormat } from '../flags/parsers.ts'
import { humanSince, humanSize } from '../format/human.ts'
import { kNameless, type NameParts, shortId, splitName } from '../format/names.ts'
import { formatTable } from '../format/table.ts'

interface ImagesFlags {
  quiet?: boolean
  digests?: boolean
  /** commander's form of `--no-trunc`. */
  trunc: boolean
  filter?: string[]
  format?: 'json' | 'table'
  json?: boolean
}

export function addImages(parent: Command, cli: Cli, name = 'images'): void {
  parent
    .command(name)
    .summary('list images')
    .description('Lists the images that are here, newest first.')
    .argument('[reference]', 'only images of this name, or that fit this pattern')
    .option('-a, --all', 'accepted for scripts: there are no hidden images')
    .option('-q, --quiet', 'print only ids')
    .option('--digests', 'show digests')
    .option('--no-trunc', 'show whole ids')
    .option(
      '-f, --filter <key=value>',
      'reference, label, label!, dangling, before, since or until; repeatable',
      collect,
    )
    .option('--format <format>', 'json or table', parseFormat)
    .option('--json', 'print JSON')
    .action((reference: string | undefined, flags: ImagesFlags) => images(cli, reference, flags))
}

function images(cli: Cli, reference: string | undefined, flags: ImagesFlags): Promise<void> {
  const filters = parseImageFilters(flags.filter ?? [])
  const references = [...(reference === undefined ? [] : [reference]), ...((filters.reference ?? []) as string[])]
  return cli.withEngine(async (engine, { Image }) => {
    const given = references.length === 0 ? filters : { ...filters, reference: references }
    const found = await Image.list({ engine, filters: given })
    if (flags.quiet === true) return cli.print(...found.map(({ id }) => (flags.trunc ? shortId(id) : id)))
    const inspected = await Promise.all(found.map((image: Image) => image.inspect()))
    if (flags.json === true || flags.format === 'json') return cli.printJson(inspected.map(summary))
    cli.stdout.write(imageTable(inspected, { ...flags, nowMs: Date.now() }))
  })
}

function summary({ id, digest, tags, created, sizeBytes, platform, config }: ImageInspection): object {
  return { id, digest, tags, created, sizeBytes, platform, labels: config.Labels ?? {} }
}

/** One row for each name. Pure. */
export function imageTable(
  images: readonly ImageInspection[],
  options: { readonly digests?: boolean; readonly trunc: boolean; readonly nowMs: number },
): string {
  const digests = options.digests === true
  const header = ['REPOSITORY', 'TAG', ...(digests ? ['DIGEST'] : []), 'IMAGE ID', 'CREATED', 'SIZE']
  const rows = images.flatMap((image) => {
    const names: readonly NameParts[] = image.tags.length === 0 ? [kNameless] : image.tags.map(splitName)
    const id = options.trunc ? shortId(image.id) : image.id
    const tail = [id, humanSince(image.created, options.nowMs), humanSize(image.sizeBytes)]
    return names.map(({ repository, tag }) => [repository, tag, ...(digests ? [image.digest ?? ''] : []), ...tail])
  })
  return formatTable(header, rows)
}
