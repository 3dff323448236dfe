// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Image, RunningContainer, RunOptions, RunResult } from '../../index.ts'
import type { Cli, Library } from '../cli.ts'
import { CliError, kFlagError, signalExitCode } from '../errors.ts'
import { parseNumber } from '../flags/parsers.ts'
import { addRunFlags } from '../flags/run-flags.ts'
import { toRunOptions } from '../flags/run-options.ts'
import { IdFile } from '../id-file.ts'
import { SignalRelay } from '../signal-relay.ts'
import { addSourceFlags, assertSourceNamed, readRunFiles, type SourceFlags, sourceOf } from './container-source.ts'
import { makeContainer } from './create.ts'

interface RunCommandFlags extends SourceFlags {
  detach?: boolean
}

export function addRun(parent: Command, cli: Cli): void {
  const command = parent
    .command('run')
    .summary('run a command in a new container')
    .description(
      'Runs a command in a new container and removes the container when it ends. Exits as the command does, with 128 and the number ' +
        'of a signal that ended it, with 127 for a command that is not there, 126 for one that cannot be run, and 125 for all else. ' +
        'With -d the container goes on by itself, and is there until it is removed.',
    )
    .usage('[options] <image> [command] [argument...]')
    .argument('[words...]')
    .helpOption('--help', 'display help for command')
    .passThroughOptions()
    .option('-d, --detach', 'leave the container in the background and print its id')
    .option('--timeout <seconds>', 'end by SIGKILL after this time', parseNumber)
  addSourceFlags(command)
  addRunFlags(command)
  command.action((words: string[], flags: RunCommandFlags) =>
    flags.detach === true ? makeContainer(cli, words, flags, 'run') : run(cli, words, flags),
  )
}

const kHealthFlags = [
  'healthCmd',
  'healthInterval',
  'healthTimeout',
  'healthRetries',
  'healthStartPeriod',
  'healthStartInterval',
] as const

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

async function run(cli: Cli, words: readonly string[], flags: RunCommandFlags): Promise<void> {
  assertSourceNamed(words, flags, 'run')
  if (flags.interactive === true && flags.tty === true && !cli.stdin.isTTY) {
    throw new CliError('The input is not a terminal.', { hint: 'leave out --tty, or --interactive' })
  }
  if (flags.logOpt !== undefined) {
    throw new CliError("The flag '--log-opt' needs '-d': in the foreground nothing is logged.", {
      exitCode: kFlagError,
    })
  }
  if ((flags.restart ?? 'no') !== 'no') {
    throw new CliError("The flag '--restart' needs '-d': in the foreground a container is removed when it ends.", {
      exitCode: kFlagError,
    })
  }
  const health = kHealthFlags.find((name) => flags[name] !== undefined)
  if (health !== undefined) {
    throw new CliError(
      `The flag '--${kebab(health)}' needs '-d': in the foreground nobody looks whether a container is well.`,
      {
        exitCode: kFlagError,
      },
    )
  }
  const options = { ...toRunOptions(flags, await readRunFiles(flags)), ...streamsOf(cli, flags) }
  await cli.withEngine(async (engine, library) => {
    const { image, command } = await sourceOf(cli, engine, library, words, flags)
    const result = await runIn(cli, library, image, command, { ...options, engine }, flags)
    report(cli, result, flags)
    cli.exitCode = result.killSignal === null ? (result.exitCode ?? kFlagError) : signalExitCode(result.killSignal)
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
  try {
    const onStart = (container: RunningContainer): void => {
      idFile.write(container.id)
      relay.start(container)
    }
    const all = { ...options, encoding: 'utf8', reject: false, signal: relay.signal, onStart } as const
    return await Container.run(image, command, all)
  } finally {
    relay.stop()
  }
}

function report(cli: Cli, result: RunResult, { timeout }: RunCommandFlags): void {
  if (result.timedOut) cli.tell(`wherry: the container ran longer than ${timeout} s and was ended`)
  else if (result.oomKilled) cli.tell('wherry: the container ran out of memory; --memory sets the limit')
}
