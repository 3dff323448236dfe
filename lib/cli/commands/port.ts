// SPDX-License-Identifier: MIT
import { isIPv6 } from 'node:net'
import type { Command } from 'commander'
import type { PublishedPort } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { CliError, kFlagError } from '../errors.ts'

export function addPort(parent: Command, cli: Cli): void {
  parent
    .command('port')
    .summary('show the ports of the host that lead into a container')
    .description('Shows the ports of the host that lead into a container, or those that lead to one port of it.')
    .argument('<container>', 'name or id')
    .argument('[port[/protocol]]', 'of the container; the protocol is tcp, or udp')
    .option('--json', 'print JSON')
    .action((name: string, wanted: string | undefined, { json }: { json?: boolean }) => {
      const port = wanted === undefined ? undefined : parsePort(wanted)
      return cli.withEngine(async (engine, { Container }) => {
        const { ports } = await (await Container.get(name, { engine })).inspect()
        const found = ports.filter((each) => port === undefined || nameOf(each) === port)
        if (json === true) return cli.printJson(found)
        if (port !== undefined && found.length === 0) throw noPort(port, name, ports)
        cli.print(...portLines(found, port !== undefined))
      })
    })
}

/** Docker's lines. Pure. @param isOne - all are of one port, which need not be named */
export function portLines(ports: readonly PublishedPort[], isOne: boolean): string[] {
  return ports.map((each) => (isOne ? placeOf(each) : `${nameOf(each)} -> ${placeOf(each)}`))
}

function nameOf({ container, protocol }: Pick<PublishedPort, 'container' | 'protocol'>): string {
  return `${container}/${protocol}`
}

function placeOf({ host, port }: PublishedPort): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

function parsePort(text: string): string {
  const [, number, protocol = 'tcp'] = /^(\d{1,5})(?:\/(tcp|udp))?$/i.exec(text) ?? []
  if (number !== undefined) return `${Number(number)}/${protocol.toLowerCase()}`
  throw new CliError(`'${text}' is no port of a container: 80, 80/tcp or 53/udp is.`, { exitCode: kFlagError })
}

function noPort(port: string, name: string, ports: readonly PublishedPort[]): CliError {
  const others = ports.map(nameOf).join(', ')
  return new CliError(`No port of the host leads to ${port} of container ${name}.`, {
    hint: others === '' ? 'none leads into it; a container has ports while it runs' : `there are ports for ${others}`,
  })
}
