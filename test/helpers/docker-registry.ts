// SPDX-License-Identifier: MIT
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { makeCertificates, makeSelfSigned } from './certificates.ts'
import { startTokenServer, type TokenServer } from './token-server.ts'

/** The only user of registries with a password. */
export const USER = { username: 'ada', password: 'open sesame' } as const
/** bcrypt, which the registry insists on. */
const HTPASSWD = `${USER.username}:$2b$04$0jc8aAPTeKdcfHYQji1nCeATFYh8S9xRL5aN6bYToyRYf2cVhj06C\n`

export interface DockerRegistryOptions {
  /** `htpasswd` wants {@link USER} by Basic, `token` by a token server. @default none */
  auth?: 'htpasswd' | 'token'
  /** Speaks TLS with a certificate of a private authority, for localhost and 127.0.0.1. */
  tls?: boolean
}

export interface DockerRegistry {
  /** `127.0.0.1:port` */
  readonly host: string
  readonly url: string
  /** PEM of the private authority, with `tls`. */
  readonly ca: string | undefined
  readonly tokenServer: TokenServer | undefined
}

/** Starts Debian's docker-registry on a free port of loopback; it is gone after the test. Needs `command:docker-registry`. */
export async function startDockerRegistry(
  t: TestContext,
  options: DockerRegistryOptions = {},
): Promise<DockerRegistry> {
  const dir = await mkdtemp(join(tmpdir(), 'wherry-registry-'))
  let child: ChildProcess | undefined
  t.after(async () => {
    if (child !== undefined) await endChild(child)
    await rm(dir, { recursive: true, force: true })
  })
  const lines = ['version: 0.1', 'log: {level: info, accesslog: {disabled: true}}', 'storage:']
  lines.push(`  filesystem: {rootdirectory: ${dir}/data}`, '  delete: {enabled: true}')
  lines.push('http:', '  addr: 127.0.0.1:0', '  secret: of-a-test')
  let ca: string | undefined
  if (options.tls === true) {
    const made = await makeCertificates(dir)
    ca = made.ca
    lines.push(`  tls: {certificate: ${made.certPath}, key: ${made.keyPath}}`)
  }
  let tokenServer: TokenServer | undefined
  if (options.auth === 'htpasswd') {
    await writeFile(join(dir, 'htpasswd'), HTPASSWD)
    lines.push(`auth: {htpasswd: {realm: test, path: ${dir}/htpasswd}}`)
  } else if (options.auth === 'token') {
    const { keyPath, certPath } = await makeSelfSigned(dir, 'token')
    tokenServer = await startTokenServer(t, { keyPath, certificatePath: certPath, user: USER })
    const { realm, service, issuer } = tokenServer
    lines.push(
      'auth:',
      `  token: {realm: "${realm}", service: ${service}, issuer: ${issuer}, rootcertbundle: ${certPath}}`,
    )
  }
  await writeFile(join(dir, 'config.yml'), `${lines.join('\n')}\n`)
  child = spawn('docker-registry', ['serve', join(dir, 'config.yml')], { stdio: ['ignore', 'ignore', 'pipe'] })
  const host = await listeningHost(child)
  return { host, url: `${ca === undefined ? 'http' : 'https'}://${host}`, ca, tokenServer }
}

async function listeningHost(child: ChildProcess): Promise<string> {
  const seen: string[] = []
  for await (const line of createInterface({ input: child.stderr! })) {
    seen.push(line)
    const host = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1]
    if (host === undefined) continue
    // What it writes from here on is nobody's concern, but must not fill the pipe.
    child.stderr!.resume()
    return host
  }
  throw new Error(`docker-registry did not start:\n${seen.join('\n')}`)
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}
