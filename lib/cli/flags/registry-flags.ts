// SPDX-License-Identifier: MIT
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { RegistryOptions } from '../../index.ts'
import { CliError, kFlagError } from '../errors.ts'
import { parseBoolean } from './parsers.ts'

/** How registries are reached, by the flags that podman and skopeo have. */
export interface RegistryFlags {
  tlsVerify?: boolean
  certDir?: string
  creds?: string
}

/** Adds the flags. @param creds - whether `--creds` is one of them. */
export function addRegistryFlags(command: Command, creds = true): Command {
  command
    .option(
      '--tls-verify <boolean>',
      'false accepts plain http and certificates that nobody verified (default: false on this machine, true elsewhere)',
      parseBoolean,
    )
    .option('--cert-dir <dir>', 'directory with certificate authorities (*.crt) to trust as well')
  if (creds) command.option('--creds <user:password>', 'credentials instead of the stored ones')
  return command
}

/** What the library takes. */
export async function registryOptions(
  flags: RegistryFlags,
): Promise<Pick<RegistryOptions, 'auth' | 'insecure' | 'ca'>> {
  const { tlsVerify, certDir, creds } = flags
  return {
    ...(tlsVerify === undefined ? {} : { insecure: !tlsVerify }),
    ...(certDir === undefined ? {} : { ca: await readAuthorities(certDir) }),
    ...(creds === undefined ? {} : { auth: parseCreds(creds) }),
  }
}

function parseCreds(text: string): { username: string; password: string } {
  const colon = text.indexOf(':')
  if (colon < 1) throw new CliError("The flag '--creds' takes user:password.", { exitCode: kFlagError })
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

async function readAuthorities(dir: string): Promise<string> {
  const names = await readdir(dir)
  const unsupported = names.find((name) => /\.(cert|key)$/.test(name))
  if (unsupported !== undefined) {
    throw new CliError(`${join(dir, unsupported)} is a client certificate, which wherry does not support.`)
  }
  const authorities = names.filter((name) => name.endsWith('.crt'))
  if (authorities.length === 0) throw new CliError(`The directory ${dir} of '--cert-dir' has no *.crt file.`)
  return (await Promise.all(authorities.map((name) => readFile(join(dir, name), 'utf8')))).join('\n')
}
