// SPDX-License-Identifier: MIT
import { once } from 'node:events'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { RegistryServerOptions } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { CliError, formatError, kFlagError } from '../errors.ts'
import { parseBoolean, parseInteger } from '../flags/parsers.ts'
import { readFlagFile } from '../read-flag-file.ts'

interface ServeFlags {
  root?: string
  host?: string
  port: number
  usersFile?: string
  tlsCert?: string
  tlsKey?: string
  readOnly?: boolean
  upstream?: string
  upstreamTlsVerify?: boolean
  json?: boolean
}

const kDefaultPort = 5000

export function addServeRegistry(parent: Command, cli: Cli): void {
  parent
    .command('serve-registry')
    .summary('run a registry')
    .description('Runs an OCI registry until it gets SIGINT or SIGTERM.')
    .option('--root <dir>', 'where everything is kept (default: a temporary directory, which goes with the registry)')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <number>', 'port to listen on; 0 is any', parseInteger, kDefaultPort)
    .option('--users-file <file>', 'lines of name:password; without it everybody may do everything')
    .option('--tls-cert <file>', 'serve https with this certificate chain (PEM)')
    .option('--tls-key <file>', 'and this key (PEM)')
    .option('--read-only', 'refuse all that changes something')
    .option('--upstream <registry>', 'serve and keep the images of another registry, such as docker.io')
    .option('--upstream-tls-verify <boolean>', 'false: plain http, or certificates that nobody verified', parseBoolean)
    .option('--json', 'print the address as JSON')
    .action((flags: ServeFlags) => serve(cli, flags))
}

async function serve(cli: Cli, flags: ServeFlags): Promise<void> {
  if (cli.root !== undefined) {
    throw new CliError("The registry's directory is given after the command: wherry serve-registry --root …", {
      exitCode: kFlagError,
    })
  }
  const { Registry } = await cli.library()
  const onError = (error: unknown): void => void cli.stderr.write(formatError(error, cli.isDebugging))
  await using server = await Registry.serve({ ...(await serverOptions(flags)), onError })
  const { url, address, root } = server
  if (flags.json === true) cli.printJson({ url, address, root })
  else cli.print(`Registry at ${url}, kept in ${root}`)
  if (!cli.signal.aborted) await once(cli.signal, 'abort')
  // Ending it is what signals are for here.
}

async function serverOptions(flags: ServeFlags): Promise<RegistryServerOptions> {
  const { root, host, port, usersFile, tlsCert, tlsKey, readOnly, upstream, upstreamTlsVerify } = flags
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new CliError('--tls-cert and --tls-key belong together.', { exitCode: kFlagError })
  }
  return {
    port,
    ...(root === undefined ? {} : { root: resolve(root) }),
    ...(host === undefined ? {} : { host }),
    ...(readOnly === undefined ? {} : { readOnly }),
    ...(usersFile === undefined
      ? {}
      : { auth: { users: parseUsers((await readFlagFile('--users-file', usersFile)).toString(), usersFile) } }),
    ...(tlsCert === undefined || tlsKey === undefined
      ? {}
      : { tls: { cert: await readFlagFile('--tls-cert', tlsCert), key: await readFlagFile('--tls-key', tlsKey) } }),
    ...(upstream === undefined ? {} : { upstream: { host: upstream, insecure: upstreamTlsVerify === false } }),
  }
}

/** Lines of `name:password`; empty ones and those that begin with # do not count. Secrets enter no message. Pure. */
export function parseUsers(text: string, file: string): Record<string, string> {
  const users = new Map<string, string>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const password = line.slice(colon + 1)
    if (colon < 1 || password === '') throw new CliError(`Line ${index + 1} of ${file} is not name:password.`)
    if (/^(\$2[aby]\$|\$apr1\$|\{SHA\})/.test(password)) {
      throw new CliError(`Line ${index + 1} of ${file} has a hash of htpasswd.`, {
        hint: 'the file has plain passwords',
      })
    }
    users.set(line.slice(0, colon), password)
  }
  if (users.size === 0) throw new CliError(`${file} names no users.`)
  return Object.fromEntries(users)
}
