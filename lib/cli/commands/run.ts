// SPDX-License-Identifier: MIT

import type { FileHandle } from 'node:fs/promises'
import { constants, open, readFile, rm } from 'node:fs/promises'
import { cwd, env } from 'node:process'
import { type Command, Option } from 'commander'
import type { Engine, Image, PullPolicy, RunningContainer, RunOptions, RunResult } from '../../index.ts'
import type { Cli, Library } from '../cli.ts'
import { CliError, kFlagError, signalExitCode } from '../errors.ts'
import { collectEnv } from '../flags/env-flags.ts'
import { collect } from '../flags/parsers.ts'
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../flags/registry-flags.ts'
import { addRunFlags, type RunFlags } from '../flags/run-flags.ts'
import { seccompFile, toRunOptions } from '../flags/run-options.ts'
import { SignalRelay } from '../signal-relay.ts'
import { TerminalOutput } from '../terminal-output.ts'
import { findOrPull } from './find-or-pull.ts'

export interface RunCommandFlags extends RunFlags, RegistryFlags {
  fromHost?: boolean
  hide?: string[]
  pull: PullPolicy
  platform?: string
  quiet?: boolean
  cidfile?: string
}

export function addRun(parent: Command, cli: Cli): void {
  const command = parent
    .command('run')
    .summary('run a command in a new container')
    .description(
      'Runs a command in a new container and removes the container when it ends. Exits as the command does, with 128 and the number ' +
        'of a signal that ended it, with 127 for a command that is not there, 126 for one that cannot be run, and 125 for all else.',
    )
    .usage('[options] <image> [command] [argument...]')
    .argument('[words...]')
    .helpOption('--help', 'display help for command')
    .passThroughOptions()
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
  addRunFlags(command)
  command.action((words: string[], flags: RunCommandFlags) => run(cli, words, flags))
}

async function run(cli: Cli, words: readonly string[], flags: RunCommandFlags): Promise<void> {
  const [name, ...rest] = words
  if (name === undefined) throw new CliError("'wherry run' needs an image.", { hint: 'wherry run --help' })
  if (flags.interactive === true && flags.tty === true && !cli.stdin.isTTY) {
    throw new CliError('The input is not a terminal.', { hint: 'leave out --tty, or --interactive' })
  }
  const options = { ...(await optionsOf(flags)), ...streamsOf(cli, flags) }
  await cli.withEngine(async (engine, library) => {
    const fromHost = flags.fromHost === true
    const image = fromHost ? hostImage(library, flags) : await imageOf(cli, engine, library, name, flags)
    const result = await runIn(cli, library, image, fromHost ? words : rest, { ...options, engine }, flags)
    report(cli, result, flags)
    cli.exitCode = result.killSignal === null ? (result.exitCode ?? kFlagError) : signalExitCode(result.killSignal)
  })
}

function hostImage({ Image }: Library, { hide = [] }: RunCommandFlags): Image {
  return Image.host({ hide })
}

async function imageOf(
  cli: Cli,
  engine: Engine,
  library: Library,
  name: string,
  flags: RunCommandFlags,
): Promise<Image> {
  const { pull: policy, platform, quiet } = flags
  const registry = await registryOptions(flags)
  return findOrPull(cli, library, name, { ...registry, engine, policy, platform, quiet })
}

async function optionsOf(flags: RunCommandFlags): Promise<RunOptions> {
  const files = await Promise.all(
    (flags.envFile ?? []).map(async (path) => ({ path, text: await readFile(path, 'utf8') })),
  )
  const profile = seccompFile(flags)
  return toRunOptions(flags, {
    env: collectEnv(files, flags.env ?? [], env),
    seccomp: profile === undefined ? undefined : await readFile(profile, 'utf8'),
    cwd: cwd(),
  })
}

/**
 * A terminal of its own is joined to ours. Otherwise bytes are copied: the container never holds our own descriptors, which may
 * be a terminal or a file of the host.
 */
function streamsOf(cli: Cli, { interactive, tty }: RunCommandFlags): RunOptions {
  if (tty === true) return { stdin: interactive === true ? 'inherit' : 'ignore', stdout: 'inherit' }
  return { stdin: interactive === true ? cli.stdin : 'ignore', stdout: cli.stdout, stderr: cli.stderr }
}

async function runIn(
  cli: Cli,
  { Container }: Library,
  image: Image,
  command: readonly string[],
  options: RunOptions,
  flags: RunCommandFlags,
): Promise<RunResult> {
  await using idFile = await IdFile.open(flags.cidfile)
  const relay = new SignalRelay(cli, flags)
  const output = new TerminalOutput()
  try {
    const onStart = (container: RunningContainer): void => {
      idFile.write(container.id)
      relay.start(container)
      if (options.tty === true && options.stdin === 'inherit') output.passThrough()
    }
    const all = { ...options, encoding: 'utf8', reject: false, signal: relay.signal, onStart } as const
    return await Container.run(image, command, all)
  } finally {
    relay.stop()
    await output.restore()
  }
}

function report(cli: Cli, result: RunResult, { timeout }: RunCommandFlags): void {
  if (result.timedOut) cli.tell(`wherry: the container ran longer than ${timeout} s and was ended`)
  else if (result.oomKilled) cli.tell('wherry: the container ran out of memory; --memory sets the limit')
}

/** The file of `--cidfile`, which must not be there before, and is not there after a start that failed. */
class IdFile implements AsyncDisposable {
  readonly #path: string
  readonly #file: FileHandle | undefined
  #written: Promise<unknown> | undefined

  private constructor(path: string, file: FileHandle | undefined) {
    this.#path = path
    this.#file = file
  }

  static async open(path: string | undefined): Promise<IdFile> {
    if (path === undefined) return new IdFile('', undefined)
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
    return new IdFile(path, await open(path, flags, 0o644))
  }

  write(id: string): void {
    this.#written = this.#file?.writeFile(id)
    // Who disposes of this hears of it.
    this.#written?.catch(() => undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#file === undefined) return
    await this.#written
    await this.#file.close()
    if (this.#written === undefined) await rm(this.#path, { force: true })
  }
}
