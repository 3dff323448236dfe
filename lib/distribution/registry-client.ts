import { InvalidOptionError, WherryError } from '../errors.ts'
import { checkBoolean, checkNumber, checkStrings, checkTimeout } from '../options/checks.ts'
import type { Purpose } from './answer-error.ts'
import { readStart } from './body.ts'
import { HostCredentials } from './credential-store.ts'
import { checkAuth, type RegistryAuth } from './credentials.ts'
import { Endpoint, type EndpointOptions } from './endpoint.ts'
import { isDockerHub, isLoopbackHost, parseHost, type RegistryHost } from './hosts.ts'
import { listNames } from './paging.ts'
import { checkProxy } from './proxy.ts'
import { Repository } from './repository.ts'
import { retrying } from './retry.ts'
import { kHubSearchHost, type SearchResult, searchCatalog, searchHub } from './search.ts'

const kUserAgent = `wherry (node ${process.versions.node})`
const kRetries = 5
const kStallTimeoutMs = 30_000

export const kRegistryOptionNames = [
  'auth',
  'insecure',
  'ca',
  'mirrors',
  'proxy',
  'retries',
  'stallTimeoutMs',
] as const satisfies readonly (keyof RegistryClientOptions)[]

/** How a registry is reached. */
export interface RegistryClientOptions {
  /**
   * `{ username, password }`, an OAuth2 `{ identityToken }`, a bearer `{ registryToken }`, or `'anonymous'`.
   *
   * @default what is stored on this machine: Docker's config.json and its credential helpers, then podman's auth.json
   */
  readonly auth?: RegistryAuth | undefined
  /**
   * Accepts certificates that nobody verified, and plain http where the registry has no https.
   *
   * @default true on this machine (`localhost`, 127.0.0.0/8, ::1) unless `ca` is given, false elsewhere
   */
  readonly insecure?: boolean | undefined
  /** PEM of certificate authorities that are trusted besides the usual. */
  readonly ca?: string | Buffer | undefined
  /**
   * Asked before the registry for everything that is read, in this order: `host[:port]`, also `https://host/prefix`. They never
   * get `auth`; credentials stored for them are used.
   */
  readonly mirrors?: readonly string[] | undefined
  /** URL of a proxy (http, https, socks5). @default HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment */
  readonly proxy?: string | undefined
  /** How often a request is repeated after an error that may pass. @default 5 */
  readonly retries?: number | undefined
  /** A connection that brings no byte for so long is given up, in milliseconds. @default 30_000 */
  readonly stallTimeoutMs?: number | undefined
}

/** One registry: its connections, credentials, mirrors. Owns its connections; {@link RegistryClient.close} ends them. */
export class RegistryClient {
  /** As in references, such as `docker.io`. */
  readonly name: string
  readonly #registry: Endpoint
  readonly #mirrors: readonly Endpoint[]
  readonly #common: Omit<EndpointOptions, 'insecure'>
  #search: Endpoint | undefined

  /** @throws {InvalidOptionError} Nothing is connected yet. */
  constructor(host: string, options: RegistryClientOptions = {}) {
    const parsed = parseHost(host)
    const common = commonOptions(options)
    this.name = parsed.name
    this.#common = common
    this.#registry = new Endpoint(parsed, { ...common, insecure: insecurity(parsed, options) })
    this.#mirrors = (options.mirrors ?? []).map((text, index) => {
      const mirror = parseHost(text, `mirrors[${index}]`)
      const insecure = insecurity(mirror, { ca: options.ca })
      // Whatever ails a mirror, the registry is the better second try.
      return new Endpoint(mirror, { ...common, auth: undefined, insecure, retries: 0 })
    })
  }

  /** The registry itself, for all that changes something. */
  get registry(): Endpoint {
    return this.#registry
  }

  repository(path: string): Repository {
    return new Repository(this, path)
  }

  /**
   * Checks that this is a registry and that it takes the credentials.
   *
   * @throws {RegistryError} @throws {RegistryAuthError}
   */
  async ping(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const purpose: Purpose = { intent: `Cannot reach the registry ${this.name}`, registry: this.name }
    await this.write(options.signal, async (endpoint) => {
      const { signal } = options
      const answer = await endpoint.request({ purpose, method: 'GET', target: '', scopes: [], expected: [200], signal })
      await readStart(answer.body)
    })
  }

  /** Names of the repositories, where the registry tells them. Docker Hub does not. */
  catalog(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<string> {
    const purpose: Purpose = { intent: `Cannot list the repositories of ${this.name}`, registry: this.name }
    const list = { purpose, target: '_catalog?n=1000', scopes: ['registry:catalog:*'], field: 'repositories' } as const
    return listNames(this.#registry, { ...list, signal: options.signal })
  }

  /**
   * Finds repositories: by Docker Hub's search, on other registries among the catalog, by a part of the name.
   *
   * @param options.limit - most results. @default 25
   */
  async search(
    query: string,
    options: { limit?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<SearchResult[]> {
    const { limit = 25, signal } = options
    const purpose: Purpose = { intent: `Cannot search ${this.name}`, registry: this.name }
    if (!isDockerHub(this.name)) return searchCatalog(this.catalog({ signal }), query, limit)
    this.#search ??= new Endpoint(kHubSearchHost, { ...this.#common, auth: 'anonymous', insecure: false })
    const endpoint = this.#search
    return retrying(endpoint.retries, signal, () => searchHub(endpoint, purpose, { query, limit, signal }))
  }

  /** Runs an action that reads: on each mirror once, then on the registry with repetitions. */
  async read<T>(
    options: { signal?: AbortSignal | undefined; direct?: boolean | undefined },
    action: (endpoint: Endpoint) => Promise<T>,
  ): Promise<T> {
    for (const mirror of options.direct === true ? [] : this.#mirrors) {
      try {
        return await action(mirror)
      } catch (error) {
        options.signal?.throwIfAborted()
        // What is not an answer of the mirror's (an invalid option, a fault of ours) would be the same everywhere.
        if (!(error instanceof WherryError)) throw error
      }
    }
    return this.write(options.signal, action)
  }

  /** Runs an action on the registry itself, again after errors that may pass. It must be harmless to repeat. */
  write<T>(signal: AbortSignal | undefined, action: (endpoint: Endpoint) => Promise<T>): Promise<T> {
    return retrying(this.#registry.retries, signal, () => action(this.#registry))
  }

  /** The endpoints in the order they are read from. */
  sources(direct: boolean): readonly Endpoint[] {
    return direct ? [this.#registry] : [...this.#mirrors, this.#registry]
  }

  /** Ends all connections; requests under way fail. May be called again. */
  async close(): Promise<void> {
    const endpoints = [...this.sources(false), ...(this.#search === undefined ? [] : [this.#search])]
    await Promise.all(endpoints.map((endpoint) => endpoint.close()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

function commonOptions(options: RegistryClientOptions): Omit<EndpointOptions, 'insecure'> {
  const { ca, mirrors } = options
  checkBoolean('insecure', options.insecure, false)
  if (ca !== undefined && typeof ca !== 'string' && !Buffer.isBuffer(ca)) {
    throw new InvalidOptionError('ca', 'certificates in PEM, as a string or a Buffer', ca)
  }
  if (mirrors !== undefined) checkStrings('mirrors', mirrors)
  return {
    auth: options.auth === undefined ? undefined : checkAuth('auth', options.auth),
    ca,
    proxy: options.proxy === undefined ? undefined : checkProxy('proxy', options.proxy),
    userAgent: kUserAgent,
    retries: checkNumber('retries', options.retries, { min: 0, max: 100, integer: true }) ?? kRetries,
    stallTimeoutMs: checkTimeout('stallTimeoutMs', options.stallTimeoutMs) ?? kStallTimeoutMs,
    credentials: new HostCredentials(),
  }
}

function insecurity(host: RegistryHost, options: Pick<RegistryClientOptions, 'insecure' | 'ca'>): boolean | 'loopback' {
  if (options.insecure !== undefined) return options.insecure
  if (host.scheme === 'http:') return true
  return isLoopbackHost(host.hostname) && options.ca === undefined ? 'loopback' : false
}
