// SPDX-License-Identifier: MIT
import type { KeyObject } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { InvalidOptionError } from '../errors.ts'
import {
  checkAbsolutePath,
  checkBoolean,
  checkBytes,
  checkNumber,
  checkObject,
  checkString,
  checkTimeout,
  kHidden,
} from '../options/checks.ts'

/** A name and a password as a client gave them. */
export interface RegistryServerCredentials {
  username: string
  password: string
}

/** What a client wants to do. `ping` and `catalog` concern no repository. */
export interface RegistryServerAccess {
  repository: string | undefined
  action: 'ping' | 'catalog' | 'pull' | 'push' | 'delete'
}

/** Decides about an access; `credentials` is `undefined` for a client that gave none. */
export type RegistryServerAuthorizer = (
  credentials: RegistryServerCredentials | undefined,
  access: RegistryServerAccess,
) => boolean | Promise<boolean>

/** Bearer tokens, by Docker's token protocol. */
export interface RegistryServerTokenOptions {
  /** URL at which clients get tokens. @default this server's own `/token`, which checks `auth` */
  realm?: string
  /** Name of this registry, which a token must be meant for. @default 'wherry' */
  service?: string
  /** Who makes the tokens. @default 'wherry' */
  issuer?: string
  /** Public key (PEM; RSA or P-256) or secret that tokens of a foreign `realm` are verified with. @default a random secret */
  key?: string | Buffer | KeyObject
  /** How long tokens of the server's own endpoint are good for, in seconds. @default 300 */
  lifetimeSeconds?: number
}

/** Options of {@link serveRegistry}. */
export interface RegistryServerOptions {
  /** Directory that holds everything; made when absent. @default a temporary directory that goes when the server is closed */
  root?: string
  /** Address to listen on. @default '127.0.0.1' */
  host?: string
  /** @default 0: any free port */
  port?: number
  /** One user, several (name to password), or a function that decides. @default everybody may do everything */
  auth?: RegistryServerCredentials | { users: Record<string, string> } | RegistryServerAuthorizer
  /** Lets clients use Bearer tokens rather than send the password each time. @default false: Basic */
  tokenAuth?: boolean | RegistryServerTokenOptions
  /** Serves https with this certificate chain and key (PEM). @default http */
  tls?: { cert: string | Buffer; key: string | Buffer }
  /** Refuses all that changes something. @default false */
  readOnly?: boolean
  /** Registry whose images are served and kept here; pushes are refused. `https`, unless `insecure`. */
  upstream?: string | RegistryServerUpstream
  /** How long a cached tag is served without asking upstream. @default 30_000 */
  upstreamTtlMs?: number
  /** Largest manifest. @default '4m' */
  maxManifestBytes?: number | string
  /** Largest blob. @default '64g' */
  maxBlobBytes?: number | string
  /** Time after which an upload that got no more bytes is dropped. @default 86_400_000 (a day) */
  maxUploadAgeMs?: number
  /** Time without progress, in either direction, after which a connection is cut. @default 60_000 */
  idleTimeoutMs?: number
  /** Connections at one time; more are closed at once. @default 2_000 */
  maxConnections?: number
  /** Told of failures that are the server's own, such as a full disk; the client sees only a status of 500. */
  onError?: (error: unknown) => void
}

/** Where a pull-through cache gets its images. */
export interface RegistryServerUpstream {
  /** Registry host with an optional port, such as `docker.io`. */
  host: string
  auth?: RegistryServerCredentials
  /** Plain http, or https without verification. @default false */
  insecure?: boolean
  /** Certificates to trust (PEM). */
  ca?: string | Buffer
}

/** Options with their defaults. */
export interface NormalizedServerOptions {
  root: string | undefined
  host: string
  port: number
  auth: RegistryServerOptions['auth']
  tokenAuth: RegistryServerTokenOptions | undefined
  tls: { cert: string | Buffer; key: string | Buffer } | undefined
  readOnly: boolean
  upstream: RegistryServerUpstream | undefined
  upstreamTtlMs: number
  maxManifestBytes: number
  maxBlobBytes: number
  maxUploadAgeMs: number
  idleTimeoutMs: number
  maxConnections: number
  onError: (error: unknown) => void
}

const kNames = Object.keys({
  root: 0,
  host: 0,
  port: 0,
  auth: 0,
  tokenAuth: 0,
  tls: 0,
  readOnly: 0,
  upstream: 0,
  upstreamTtlMs: 0,
  maxManifestBytes: 0,
  maxBlobBytes: 0,
  maxUploadAgeMs: 0,
  idleTimeoutMs: 0,
  maxConnections: 0,
  onError: 0,
} satisfies Record<keyof RegistryServerOptions, 0>)

/** Checks options and fills in the defaults. @throws {InvalidOptionError} which never repeats a secret. */
export function normalizeServerOptions(options: RegistryServerOptions): NormalizedServerOptions {
  checkObject('options', options)
  checkObject('', options, kNames)
  const { auth, tokenAuth, tls, onError } = options
  return {
    root: options.root === undefined ? undefined : checkAbsolutePath('root', options.root),
    host: options.host === undefined ? '127.0.0.1' : checkString('host', options.host),
    port: checkNumber('port', options.port, { min: 0, max: 65_535, integer: true }) ?? 0,
    auth: auth === undefined ? undefined : checkAuth(auth),
    tokenAuth: tokenAuth === undefined || tokenAuth === false ? undefined : checkTokenAuth(tokenAuth),
    tls: tls === undefined ? undefined : checkTls(tls),
    readOnly: checkBoolean('readOnly', options.readOnly, false),
    upstream: options.upstream === undefined ? undefined : checkUpstream(options.upstream),
    upstreamTtlMs: checkNumber('upstreamTtlMs', options.upstreamTtlMs, { min: 0 }) ?? 30_000,
    maxManifestBytes: checkBytes('maxManifestBytes', options.maxManifestBytes, 1) ?? 4 * 1024 ** 2,
    maxBlobBytes: checkBytes('maxBlobBytes', options.maxBlobBytes, 1) ?? 64 * 1024 ** 3,
    maxUploadAgeMs: checkNumber('maxUploadAgeMs', options.maxUploadAgeMs, { min: 0 }) ?? 86_400_000,
    idleTimeoutMs: checkTimeout('idleTimeoutMs', options.idleTimeoutMs) ?? 60_000,
    maxConnections: checkNumber('maxConnections', options.maxConnections, { min: 1, integer: true }) ?? 2_000,
    onError: onError === undefined ? () => undefined : checkFunction('onError', onError),
  }
}

function checkAuth(auth: NonNullable<RegistryServerOptions['auth']>): NonNullable<RegistryServerOptions['auth']> {
  if (typeof auth === 'function') return auth
  checkObject('auth', auth)
  if (!('users' in auth)) return checkCredentials('auth', auth)
  checkObject('auth', auth, ['users'])
  for (const [name, password] of Object.entries(checkObject('auth.users', auth.users))) {
    checkCredentials(`auth.users`, { username: name, password: password as string })
  }
  return auth
}

function checkCredentials(option: string, value: unknown): RegistryServerCredentials {
  const { username, password } = checkObject(option, value, ['username', 'password'])
  checkString(`${option}.username`, username)
  // Basic authentication could not carry it.
  if ((username as string).includes(':'))
    throw new InvalidOptionError(`${option}.username`, 'a name without a colon', username)
  if (typeof password !== 'string') throw new InvalidOptionError(`${option}.password`, 'a string', kHidden)
  return value as RegistryServerCredentials
}

function checkTokenAuth(value: unknown): RegistryServerTokenOptions {
  if (value === true) return {}
  const names = ['realm', 'service', 'issuer', 'key', 'lifetimeSeconds']
  const token = checkObject('tokenAuth', value, names) as RegistryServerTokenOptions
  for (const name of ['realm', 'service', 'issuer'] as const) {
    const text = token[name]
    // These stand between quotation marks in a header.
    if (text !== undefined && !/^[\x20-\x7e]+$/.test(checkString(`tokenAuth.${name}`, text).replace(/["\\]/, '\n'))) {
      throw new InvalidOptionError(`tokenAuth.${name}`, 'printable ASCII without quotation marks', text)
    }
  }
  if (token.realm !== undefined && token.key === undefined) {
    throw new InvalidOptionError('tokenAuth.key', 'the key that tokens of the realm are signed with', undefined)
  }
  checkNumber('tokenAuth.lifetimeSeconds', token.lifetimeSeconds, { min: 1, integer: true })
  return token
}

function checkTls(value: unknown): { cert: string | Buffer; key: string | Buffer } {
  const tls = checkObject('tls', value, ['cert', 'key'])
  for (const name of ['cert', 'key']) {
    const each = tls[name]
    if (typeof each !== 'string' && !Buffer.isBuffer(each)) {
      throw new InvalidOptionError(`tls.${name}`, 'a string or Buffer in PEM form', kHidden)
    }
  }
  try {
    createSecureContext(tls)
  } catch (error) {
    // OpenSSL's reason, such as "key values mismatch", repeats nothing of the key.
    const reason = error instanceof Error ? error.message.slice(0, 200) : undefined
    throw new InvalidOptionError('tls', 'a certificate chain and its key in PEM form', kHidden, reason)
  }
  return tls as { cert: string; key: string }
}

function checkUpstream(value: string | RegistryServerUpstream): RegistryServerUpstream {
  if (typeof value === 'string') return { host: checkString('upstream', value) }
  checkObject('upstream', value, ['host', 'auth', 'insecure', 'ca'])
  checkString('upstream.host', value.host)
  if (value.auth !== undefined) checkCredentials('upstream.auth', value.auth)
  checkBoolean('upstream.insecure', value.insecure, false)
  return value
}

function checkFunction<T>(option: string, value: T): T {
  if (typeof value !== 'function') throw new InvalidOptionError(option, 'a function', value)
  return value
}
