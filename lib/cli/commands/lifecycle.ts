// SPDX-License-Identifier: MIT
import { type Command, Option } from 'commander'
import type { Container, ContainerStopOptions } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { CliError, kFlagError } from '../errors.ts'
import { parseSeconds } from '../flags/parsers.ts'
import { addRefusal } from '../flags/refusal.ts'
import { addAttachFlags, follow } from './attach.ts'
import { containersCommand, eachContainer } from './each-container.ts'
import { eachName } from './each-name.ts'

interface StopFlags {
  timeout?: number
  time?: number
}

/** Adds what makes containers go, halt and end. */
export function addLifecycle(parent: Command, cli: Cli): void {
  addStart(parent, cli)
  addStop(parent, cli)
  addRestart(parent, cli)
  addKill(parent, cli)
  addPause(parent, cli)
  addWait(parent, cli)
}

interface StartFlags {
  attach?: boolean
  interactive?: boolean
  detachKeys?: string
  sigProxy: boolean
}

function addStart(parent: Command, cli: Cli): void {
  const command = containersCommand(
    parent,
    'start',
    'start containers that do not run',
    'Starts containers that do not run, in the background, or with -a and -i one to stay with. They have the files that they had.',
  )
    .option('-a, --attach', 'show what it writes, pass signals on, and exit as it does')
    .option('-i, --interactive', 'that, and give it our standard input')
    .action((names: string[], flags: StartFlags) =>
      flags.attach === true || flags.interactive === true
        ? startAttached(cli, names, flags)
        : eachContainer(cli, names, async (container) => {
            await assertDetached(container, 'start')
            await container.start()
          }),
    )
  addAttachFlags(command)
  addRefusal(command, '--checkpoint <name>', 'there are no checkpoints')
}

function startAttached(cli: Cli, names: readonly string[], flags: StartFlags): Promise<void> {
  const [name = '', another] = names
  if (another !== undefined) {
    throw new CliError('With --attach or --interactive there is one container to start.', { exitCode: kFlagError })
  }
  const { interactive, detachKeys, sigProxy } = flags
  return cli.withEngine(async (engine, { Container }) => {
    const container = await Container.get(name, { engine })
    await assertDetached(container, 'start')
    await follow(cli, container, { detachKeys, sigProxy, stdin: interactive === true }, (options) =>
      container.startAttached(options),
    )
  })
}

function addStop(parent: Command, cli: Cli): void {
  const command = containersCommand(
    parent,
    'stop',
    'end containers',
    'Sends containers their stop signal, and SIGKILL when their time is over.',
  ).action((names: string[], flags: StopFlags) =>
    eachContainer(cli, names, (container) => container.stop(stopOptions(cli, flags))),
  )
  addStopFlags(command)
}

function addRestart(parent: Command, cli: Cli): void {
  const command = containersCommand(
    parent,
    'restart',
    'end containers and start them again',
    'Ends containers as stop does, where they run, and starts them.',
  ).action((names: string[], flags: StopFlags) =>
    eachContainer(cli, names, async (container) => {
      await assertDetached(container, 'restart')
      await container.restart(stopOptions(cli, flags))
    }),
  )
  addStopFlags(command)
}

function addStopFlags(command: Command): void {
  command
    .option('-t, --timeout <seconds>', "time before SIGKILL (default: the container's, 10)", parseSeconds)
    // Docker's word before version 28.
    .addOption(new Option('--time <seconds>').argParser(parseSeconds).hideHelp())
  addRefusal(command, '-s, --signal <signal>', "it is given with 'run --stop-signal'; 'wherry kill -s' sends any")
}

function stopOptions(cli: Cli, { timeout, time }: StopFlags): ContainerStopOptions {
  const seconds = timeout ?? time
  return { timeoutMs: seconds === undefined ? undefined : seconds * 1000, signal: cli.signal }
}

/** It would end again with this command. */
async function assertDetached(container: Container, verb: string): Promise<void> {
  const { detached, name } = await container.inspect()
  if (detached) return
  throw new CliError(`Cannot ${verb} container ${name}: it was made to end with the program that starts it.`, {
    hint: "'wherry create' and Container.create(image, { detached: true }) make containers that go on",
  })
}

function addKill(parent: Command, cli: Cli): void {
  containersCommand(parent, 'kill', 'send containers a signal', 'Sends a signal to the first process of containers.')
    .option('-s, --signal <signal>', 'name or number', 'SIGKILL')
    .action((names: string[], { signal }: { signal: string }) =>
      eachContainer(cli, names, (container) => container.kill(/^\d+$/.test(signal) ? Number(signal) : signal)),
    )
}

function addPause(parent: Command, cli: Cli): void {
  containersCommand(parent, 'pause', 'halt containers', 'Stops all processes of containers where they are.').action(
    (names: string[]) => eachContainer(cli, names, (container) => container.pause()),
  )
  containersCommand(parent, 'unpause', 'let containers go on', 'Lets the processes of containers go on.').action(
    (names: string[]) => eachContainer(cli, names, (container) => container.resume()),
  )
}

function addWait(parent: Command, cli: Cli): void {
  containersCommand(
    parent,
    'wait',
    'wait until containers have ended',
    'Waits until containers have ended, and prints their exit codes.',
  ).action((names: string[]) =>
    cli.withEngine((engine, { Container }) =>
      eachName(cli, names, async (name) => {
        const container = await Container.get(name, { engine })
        const { exitCode, startedAt } = await container.wait({ signal: cli.signal })
        if (exitCode === null && startedAt !== null) throw new CliError(`Nobody saw how container ${name} ended.`)
        cli.print(String(exitCode ?? 0))
      }),
    ),
  )
}
