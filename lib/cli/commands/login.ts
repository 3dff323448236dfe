// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { CliError } from '../errors.ts'
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../flags/registry-flags.ts'
import { ask, readSecret } from '../prompt.ts'

interface LoginFlags extends RegistryFlags {
  username?: string
  password?: string
  passwordStdin?: boolean
}

const kDefaultRegistry = 'docker.io'

export function addLogin(parent: Command, cli: Cli): void {
  const command = parent
    .command('login')
    .summary('keep credentials for a registry')
    .description(
      "Tries credentials and keeps them where docker login does: with Docker's credential helper, or in its config.json.",
    )
    .argument('[registry]', 'such as ghcr.io or localhost:5000', kDefaultRegistry)
    .option('-u, --username <name>', 'user')
    .option('-p, --password <password>', 'seen by all users of this machine: better --password-stdin')
    .option('--password-stdin', 'read the password from standard input')
  addRegistryFlags(command, false).action((registry: string, flags: LoginFlags) => login(cli, registry, flags))
}

async function login(cli: Cli, server: string, flags: LoginFlags): Promise<void> {
  const credentials = await credentialsOf(cli, flags)
  const host = registryHost(server)
  const { Registry } = await cli.library()
  await using registry = new Registry(host, await registryOptions(flags))
  await registry.login(credentials, { signal: cli.signal })
  cli.print('Login Succeeded')
}

async function credentialsOf(cli: Cli, flags: LoginFlags): Promise<{ username: string; password: string }> {
  const { username, password, passwordStdin } = flags
  if (passwordStdin === true) {
    if (password !== undefined) throw new CliError('Give either --password or --password-stdin.')
    if (username === undefined) throw new CliError('With --password-stdin the user must be given with --username.')
    return { username, password: await readSecret(cli) }
  }
  if (password !== undefined) {
    cli.tell('WARNING! A password on the command line can be seen by others. Use --password-stdin.')
  } else if (!cli.stdin.isTTY) {
    throw new CliError('There is no terminal to ask for a password on.', {
      hint: 'use --username and --password-stdin',
    })
  }
  const name = username ?? (await ask(cli, 'Username: '))
  if (name === '') throw new CliError('The user name is empty.')
  const secret = password ?? (await ask(cli, 'Password: ', true))
  if (secret === '') throw new CliError('The password is empty.')
  return { username: name, password: secret }
}

export function addLogout(parent: Command, cli: Cli): void {
  parent
    .command('logout')
    .summary('forget credentials for a registry')
    .description("Forgets the credentials that Docker's config.json or its credential helper have for a registry.")
    .argument('[registry]', 'such as ghcr.io or localhost:5000', kDefaultRegistry)
    .action(async (server: string) => {
      const host = registryHost(server)
      const { Registry } = await cli.library()
      await using registry = new Registry(host)
      const removed = await registry.logout({ signal: cli.signal })
      cli.print(removed ? `Removing login credentials for ${host}` : `Not logged in to ${host}`)
    })
}

/** The host of what people write, which may be a URL: `https://index.docker.io/v1/`. Pure. */
export function registryHost(server: string): string {
  const host = server.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
  return host === 'index.docker.io' ? kDefaultRegistry : host
}
