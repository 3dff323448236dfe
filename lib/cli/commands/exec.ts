// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Container, ExecOptions, RunResult } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { CliError, kFlagError, signalExitCode } from '../errors.ts'
import { collect } from '../flags/parsers.ts'
import { addRefusal } from '../flags/refusal.ts'
import { SignalRelay } from '../signal-relay.ts'
import { readEnv } from './container-source.ts'

interface ExecFlags {
  detach?: boolean
  interactive?: boolean
  tty?: boolean
  user?: string
  workdir?: string
  env?: string[]
  envFile?: string[]
  privileged?: boolean
}

export function addExec(parent: Command, cli: Cli): void {
  const command = parent
    .command('exec')
    .summary('run a command in a container that runs')
    .description(
      'Runs a command in a container that runs, beside what runs there. Exits as the command does, with 128 and the number of a signal ' +
        'that ended it, with 127 for a command that is not there, 126 for one that cannot be run, and 1 for all else.',
    )
    .usage('[options] <container> <command> [argument...]')
    .argument('<container>', 'name or id')
    .argument('<command...>')
    .passThroughOptions()
    .option('-d, --detach', 'leave the command in the background; it has neither input nor output')
    .option('-i, --interactive', 'give the command our standard input')
    .option('-t, --tty', 'give the command a terminal')
    .option('-u, --user <user[:group]>', "names or ids (default: the container's)")
    .option('-w, --workdir <dir>', "working directory (default: the container's)")
    .option('-e, --env <name[=value]>', 'set a variable; NAME alone passes ours on; repeatable', collect)
    .option('--env-file <file>', 'set variables from lines of NAME=value; repeatable', collect)
    .option('--privileged', 'give the command all capabilities')
    .action((name: string, words: string[], flags: ExecFlags) => exec(cli, name, words, flags))
  addRefusal(command, '--detach-keys <keys>', 'the command ends with us')
}

async function exec(cli: Cli, name: string, words: readonly string[], flags: ExecFlags): Promise<void> {
  const { detach, interactive, tty, user, workdir: cwd, privileged } = flags
  if (detach === true && (interactive === true || tty === true)) {
    throw new CliError("The flag '--detach' goes with neither '--interactive' nor '--tty': nobody could attach.", {
      exitCode: kFlagError,
    })
  }
  if (interactive === true && tty === true && !cli.stdin.isTTY) {
    throw new CliError('The input is not a terminal.', { hint: 'leave out --tty, or --interactive' })
  }
  const shared = { user, cwd, privileged, env: await readEnv(flags) }
  await cli.withEngine(async (engine, { Container }) => {
    const container = await Container.get(name, { engine })
    if (detach === true) return await container.execDetached(words, { ...shared, signal: cli.signal })
    const options = { ...shared, ...streamsOf(cli, flags) }
    const { exitCode, killSignal, oomKilled } = await execIn(cli, container, words, options)
    if (oomKilled) cli.tell('wherry: the container ran out of memory')
    cli.exitCode = killSignal === null ? (exitCode ?? kFlagError) : signalExitCode(killSignal)
  })
}

/** As for `run`: the command never holds our own descriptors. */
function streamsOf(cli: Cli, { interactive, tty }: ExecFlags): ExecOptions {
  if (tty === true) return { tty, stdin: interactive === true ? 'inherit' : 'ignore', stdout: 'inherit' }
  return { stdin: interactive === true ? cli.stdin : 'ignore', stdout: cli.stdout, stderr: cli.stderr }
}

async function execIn(
  cli: Cli,
  container: Container,
  words: readonly string[],
  options: ExecOptions,
): Promise<RunResult> {
  const relay = new SignalRelay(cli, {})
  try {
    const onStart: ExecOptions['onStart'] = (program) => relay.start(program)
    return await container.exec(words, { ...options, encoding: 'utf8', reject: false, signal: relay.signal, onStart })
  } finally {
    relay.stop()
  }
}
