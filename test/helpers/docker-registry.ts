// SPDX-License-Identifier: MIT
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { startTokenServer, type TokenServer } from './token-server.ts'

const execFileAsync = promisify(execFile)

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
    ca = await makeCertificates(dir)
    lines.push(`  tls: {certificate: ${dir}/server.pem, key: ${dir}/server.key}`)
  }
  let tokenServer: TokenServer | undefined
  if (options.auth === 'htpasswd') {
    await writeFile(join(dir, 'htpasswd'), HTPASSWD)
    lines.push(`auth: {htpasswd: {realm: test, path: ${dir}/htpasswd}}`)
  } else if (options.auth === 'token') {
    await makeSelfSigned(dir, 'token')
    tokenServer = await startTokenServer(t, {
      keyPath: join(dir, 'token.key'),
      certificatePath: join(dir, 'token.pem'),
      user: USER,
    })
    const { realm, service, issuer } = tokenServer
    lines.push(
      'auth:',
      `  token: {realm: "${realm}", service: ${service}, issuer: ${issuer}, rootcertbundle: ${dir}/token.pem}`,
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

/** A private authority and a certificate of it for localhost. @returns the authority's PEM. */
export async function makeCertificates(dir: string, names = 'DNS:localhost,IP:127.0.0.1'): Promise<string> {
  await makeSelfSigned(dir, 'ca')
  const file = (name: string): string => join(dir, name)
  await writeFile(file('names'), `subjectAltName=${names}\n`)
  await openssl(
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-subj',
    '/CN=registry',
    '-keyout',
    file('server.key'),
    '-out',
    file('server.csr'),
  )
  await openssl(
    'x509',
    '-req',
    '-in',
    file('server.csr'),
    '-CA',
    file('ca.pem'),
    '-CAkey',
    file('ca.key'),
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    file('names'),
    '-out',
    file('server.pem'),
  )
  return readFile(file('ca.pem'), 'utf8')
}

async function makeSelfSigned(dir: string, name: string): Promise<void> {
  const [key, out] = [join(dir, `${name}.key`), join(dir, `${name}.pem`)]
  await openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    `/CN=wherry test ${name}`,
    '-keyout',
    key,
    '-out',
    out,
  )
}

async function openssl(...args: string[]): Promise<void> {
  await execFileAsync('openssl', args)
}
