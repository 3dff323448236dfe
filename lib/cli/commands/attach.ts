// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Container, ContainerAttachment, ContainerAttachOptions } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { parseBoolean } from '../flags/parsers.ts'

export interface AttachFlags {
  detachKeys?: string | undefined
  /** commander's form of `--no-stdin`. */
  stdin: boolean
  sigProxy: boolean
}

export function addAttach(parent: Command, cli: Cli): void {
  const command = parent
    .command('attach')
    .summary('connect to a container that runs')
    .description(
      'Connects our input and output to those of a container that runs, and exits as it does. With a terminal, Ctrl-P Ctrl-Q leaves it. ' +
        "What it wrote before is in 'wherry logs'.",
    )
    .argument('<container>', 'name or id')
    .option('--no-stdin', 'do not give it our input')
    .action((name: string, flags: AttachFlags) =>
      cli.withEngine(async (engine, { Container }) => {
        const container = await Container.get(name, { engine })
        await follow(cli, container, flags, (options) => container.attach(options))
      }),
    )
  addAttachFlags(command)
}

export function addAttachFlags(command: Command): void {
  command
    .option('--detach-keys <keys>', 'with a terminal: what leaves it (default: ctrl-p,ctrl-q)')
    .option('--sig-proxy <boolean>', 'pass signals on to it', parseBoolean, true)
}

/** Stays with a container until it has ended or is left, and exits as it does. @param attach - connects to it */
export async function follow(
  cli: Cli,
  container: Container,
  { detachKeys, stdin, sigProxy }: AttachFlags,
  attach: (options: ContainerAttachOptions) => Promise<ContainerAttachment>,
): Promise<void> {
  const options: ContainerAttachOptions = {
    stdin: stdin ? 'inherit' : 'ignore',
    output: 'inherit',
    detachKeys,
    signal: cli.signal,
  }
  const attachment = await attach(options)
  const kill = (killSignal: NodeJS.Signals): void => {
    // It has ended, or is about to say why it cannot be reached.
    container.kill(killSignal).catch(() => undefined)
  }
  const stop = sigProxy ? cli.interrupts.forward(kill) : undefined
  try {
    if ((await attachment.wait()) === 'detached') {
      cli.tell('\nwherry: the container goes on')
      return
    }
    const { exitCode } = await container.wait({ signal: cli.signal })
    cli.exitCode = exitCode ?? 0
  } finally {
    stop?.()
  }
}
