// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { SearchResult } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { CliError } from '../errors.ts'
import { parseSearchFilters } from '../flags/filter-flags.ts'
import { collect, parseFormat, parseInteger } from '../flags/parsers.ts'
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../flags/registry-flags.ts'
import { printable, truncate } from '../format/printable.ts'
import { formatTable } from '../format/table.ts'

interface SearchFlags extends RegistryFlags {
  limit: number
  filter?: string[]
  trunc: boolean
  listTags?: boolean
  format?: 'json' | 'table'
  json?: boolean
}

const kHub = 'docker.io'
const kDescriptionLength = 45
const kDefaultLimit = 25

export function addSearch(parent: Command, cli: Cli): void {
  const command = parent
    .command('search')
    .summary('find images in a registry')
    .description(
      'Finds repositories on Docker Hub, or, by a part of their names, in the registry that the term begins with: localhost:5000/app',
    )
    .argument('<term>', 'what to look for')
    .option('--limit <count>', 'most results, 1 to 100', parseInteger, kDefaultLimit)
    .option('-f, --filter <key=value>', 'stars=3 or is-official=true; repeatable', collect)
    .option('--no-trunc', 'show whole descriptions')
    .option('--list-tags', 'show the tags of the repository that the term names')
    .option('--format <format>', 'json or table', parseFormat)
    .option('--json', 'print JSON')
  addRegistryFlags(command).action((term: string, flags: SearchFlags) =>
    flags.listTags === true ? listTags(cli, term, flags) : search(cli, term, flags),
  )
}

async function search(cli: Cli, term: string, flags: SearchFlags): Promise<void> {
  const { minStars, isOfficial } = parseSearchFilters(flags.filter ?? [])
  const { host, rest } = splitTerm(term)
  if (rest === '') throw new CliError(`The term '${term}' names a registry, and nothing to look for in it.`)
  const { Registry } = await cli.library()
  await using registry = new Registry(host, await registryOptions(flags))
  const found = await registry.search(rest, { limit: flags.limit, signal: cli.signal })
  const wanted = found
    .filter((each) => each.stars >= minStars && (isOfficial === undefined || each.isOfficial === isOfficial))
    // So that the name can be given to `wherry pull`.
    .map((each) => (host === kHub ? each : { ...each, name: `${host}/${each.name}` }))
  if (flags.json === true || flags.format === 'json') return cli.printJson(wanted)
  cli.stdout.write(searchTable(wanted, flags.trunc))
}

async function listTags(cli: Cli, term: string, flags: SearchFlags): Promise<void> {
  const { host, rest } = splitTerm(term)
  const { Registry } = await cli.library()
  await using registry = new Registry(host, await registryOptions(flags))
  const tags: string[] = []
  for await (const tag of registry.tags(rest, { signal: cli.signal })) {
    if (tags.length >= flags.limit) break
    tags.push(tag)
  }
  if (flags.json === true || flags.format === 'json') return cli.printJson({ name: term, tags })
  cli.stdout.write(
    formatTable(
      ['NAME', 'TAG'],
      tags.map((tag) => [term, tag]),
    ),
  )
}

/** Pure. */
export function searchTable(results: readonly SearchResult[], trunc: boolean): string {
  const rows = results.map(({ name, description, stars, isOfficial }) => {
    const text = printable(description)
    return [name, trunc ? truncate(text, kDescriptionLength) : text, String(stars), isOfficial ? '[OK]' : '']
  })
  return formatTable(['NAME', 'DESCRIPTION', 'STARS', 'OFFICIAL'], rows)
}

/** The registry that a term begins with, by the rule of references: a dot, a port, or localhost. Pure. */
export function splitTerm(term: string): { host: string; rest: string } {
  const slash = term.indexOf('/')
  const first = slash < 0 ? '' : term.slice(0, slash)
  if (!/[.:]/.test(first) && first !== 'localhost') return { host: kHub, rest: term }
  return { host: first, rest: term.slice(slash + 1) }
}
