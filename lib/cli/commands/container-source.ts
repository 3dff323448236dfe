// SPDX-License-Identifier: MIT
import { cwd, env } from 'node:process'
import { type Command, Option } from 'commander'
import type { Engine, Image, PullPolicy } from '../../index.ts'
import type { Cli, Library } from '../cli.ts'
import { CliError, kFlagError } from '../errors.ts'
import { collectEnv } from '../flags/env-flags.ts'
import { collect } from '../flags/parsers.ts'
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../flags/registry-flags.ts'
import type { RunFlags } from '../flags/run-flags.ts'
import { type RunFiles, seccompFile } from '../flags/run-options.ts'
import { readFlagFile } from '../read-flag-file.ts'
import { findOrPull } from './find-or-pull.ts'

/** Flags of `wherry run` and `wherry create`. */
export interface SourceFlags extends RunFlags, RegistryFlags {
  fromHost?: boolean
  hide?: string[]
  pull: PullPolicy
  platform?: string
  quiet?: boolean
  cidfile?: string
}

/** Adds the flags that say what a container is made from. */
export function addSourceFlags(command: Command): void {
  command
    .option('--from-host', "use the host's own files instead of an image; what is written to them is thrown away")
    .option('--hide <path>', 'with --from-host: show this path empty; repeatable', collect)
    .addOption(
      new Option('--pull <policy>', 'when to ask the registry')
        .choices(['missing', 'always', 'never'])
        .default('missing'),
    )
    .option('--platform <platform>', "which image, such as linux/arm64 (default: this host's)")
    .option('-q, --quiet', 'show no progress of the pull')
    .option('--cidfile <file>', "write the container's id to a file that does not exist")
  addRegistryFlags(command)
}

/** What a container is made from and runs. */
export interface ContainerSource {
  readonly image: Image
  /** The word that named the image; none for the host's files. */
  readonly name: string | undefined
  readonly command: readonly string[]
}

/** Finds or gets the image that the first word names; the other words are the command. */
export async function sourceOf(
  cli: Cli,
  engine: Engine,
  library: Library,
  words: readonly string[],
  flags: SourceFlags,
): Promise<ContainerSource> {
  const [name = '', ...command] = words
  const { fromHost, hide = [], pull: policy, platform, quiet } = flags
  if (fromHost === true) return { image: library.Image.host({ hide }), name: undefined, command: words }
  const registry = await registryOptions(flags)
  const image = await findOrPull(cli, library, name, { ...registry, engine, policy, platform, quiet })
  return { image, name, command }
}

/** @throws {CliError} where no word can name an image, or a command for the host's files */
export function assertSourceNamed(words: readonly string[], flags: SourceFlags, verb: 'run' | 'create'): void {
  if (flags.hide !== undefined && flags.fromHost !== true) {
    throw new CliError("'--hide' needs '--from-host'.", { exitCode: kFlagError })
  }
  if (words[0] !== undefined) return
  const what = flags.fromHost === true ? 'a command' : 'an image'
  throw new CliError(`'wherry ${verb}' needs ${what}.`, { hint: `wherry ${verb} --help` })
}

/** Reads what flags name. */
export async function readRunFiles(flags: RunFlags): Promise<RunFiles> {
  const profile = seccompFile(flags)
  return {
    env: await readEnv(flags),
    seccomp: profile === undefined ? undefined : (await readFlagFile('--security-opt', profile)).toString(),
    cwd: cwd(),
  }
}

/** The variables of `--env` and `--env-file`. */
export async function readEnv(flags: Pick<RunFlags, 'env' | 'envFile'>): Promise<Record<string, string>> {
  const read = async (path: string): Promise<{ path: string; text: string }> => ({
    path,
    text: (await readFlagFile('--env-file', path)).toString(),
  })
  return collectEnv(await Promise.all((flags.envFile ?? []).map(read)), flags.env ?? [], env)
}
