// SPDX-License-Identifier: MIT
import { lstat, realpath, stat } from 'node:fs/promises'
import { basename, join, posix } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Command } from 'commander'
import type { Container } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { CliError } from '../errors.ts'
import { type CopyPlace, parseCopyPlace } from '../flags/copy-place.ts'
import { assertNoTerminal, outputStream } from './output-stream.ts'

interface CpFlags {
  archive?: boolean
  followLink?: boolean
  quiet?: boolean
}

type InContainer = Extract<CopyPlace, { kind: 'container' }>
type Outside = Exclude<CopyPlace, { kind: 'container' }>

/** As many as the kernel follows. */
const kMaxLinks = 40

export function addCp(parent: Command, cli: Cli): void {
  parent
    .command('cp')
    .summary('copy files between a container and the host')
    .description(
      "Copies a file or folder between a container, running or not, and the host. '-' is a tar archive on standard input or output. A " +
        "folder that ends in '/.' stands for what is in it.",
    )
    .usage('[options] <container:path> <path|->\n       wherry cp [options] <path|-> <container:path>')
    .argument('<source>')
    .argument('<target>')
    .option('-a, --archive', 'keep the numbers of owners')
    .option('-L, --follow-link', 'copy what a link as the source leads to')
    .option('-q, --quiet', 'accepted for scripts: nothing is said anyway')
    .action((source: string, target: string, flags: CpFlags) =>
      cp(cli, parseCopyPlace(source), parseCopyPlace(target), flags),
    )
}

async function cp(cli: Cli, source: CopyPlace, target: CopyPlace, flags: CpFlags): Promise<void> {
  if (source.kind === 'container' && target.kind === 'container') {
    throw new CliError('Copying between containers is not supported.', {
      hint: `wherry cp ${source.name}:${source.path} - | wherry cp - ${target.name}:${target.path}`,
    })
  }
  if (source.kind === 'container') return copyOut(cli, source, target as Outside, flags)
  if (target.kind === 'container') return copyIn(cli, source, target, flags)
  throw new CliError('One side of a copy is in a container.', { hint: "write 'container:path'" })
}

function copyIn(cli: Cli, source: Outside, { name, path }: InContainer, flags: CpFlags): Promise<void> {
  if (source.kind === 'stream' && cli.stdin.isTTY) throw new CliError('There is no archive on standard input.')
  return cli.withEngine(async (engine, { Container }) => {
    const container = await Container.get(name, { engine })
    const { signal } = cli
    if (source.kind === 'stream') return await container.copyIn(cli.stdin, path, { signal })
    const options = { signal, preserveOwner: flags.archive === true }
    if (flags.followLink !== true) return await container.copyIn(source.path, path, options)
    const { followed, isLink } = await followOnHost(source.path)
    const isDirectory = async (): Promise<boolean> =>
      (await container.exists(path, { signal })) && (await container.stat(path, { signal })).type === 'directory'
    // The copy has the name of the link, and not that of what it leads to.
    const target = isLink && (await isDirectory()) ? posix.join(path, basename(source.path)) : path
    await container.copyIn(followed, target, options)
  })
}

function copyOut(cli: Cli, { name, path }: InContainer, target: Outside, flags: CpFlags): Promise<void> {
  if (target.kind === 'stream') assertNoTerminal(cli, 'redirect the output')
  return cli.withEngine(async (engine, { Container }) => {
    const container = await Container.get(name, { engine })
    const { signal } = cli
    const { followed, isLink } =
      flags.followLink === true ? await followInside(container, path, signal) : { followed: path, isLink: false }
    if (target.kind === 'stream') {
      return await pipeline(await container.copyOut(followed, undefined, { signal }), outputStream(cli))
    }
    const renames = isLink && (await stat(target.path).catch(() => undefined))?.isDirectory() === true
    const place = renames ? join(target.path, posix.basename(path)) : target.path
    const { skipped } = await container.copyOut(followed, place, { signal, preserveOwner: flags.archive === true })
    if (skipped > 0) cli.tell(`wherry: ${skipped} devices, FIFOs or sockets were left out`)
  })
}

async function followOnHost(path: string): Promise<{ followed: string; isLink: boolean }> {
  const isLink = (await lstat(path)).isSymbolicLink()
  if (!isLink) return { followed: path, isLink }
  return { followed: await realpath(path), isLink }
}

async function followInside(
  container: Container,
  path: string,
  signal: AbortSignal,
): Promise<{ followed: string; isLink: boolean }> {
  let followed = posix.join('/', path)
  for (let links = 0; links <= kMaxLinks; links++) {
    const { type, target } = await container.stat(followed, { followSymlinks: false, signal })
    if (type !== 'symlink' || target === undefined) return { followed, isLink: links > 0 }
    followed = posix.resolve(posix.dirname(followed), target)
  }
  throw new CliError(`There are too many links at ${path}.`)
}
