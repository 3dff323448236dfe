import type { Readable } from 'node:stream'
import { SharedWork } from '../async/shared-work.ts'
import { answerError, type Purpose, protocolError } from './answer-error.ts'
import { Authorizer } from './authorizer.ts'
import { readStart } from './body.ts'
import { parseChallenges } from './challenge.ts'
import type { CredentialStore, RegistryAuth } from './credentials.ts'
import type { RegistryHost } from './hosts.ts'
import { type Answer, type HopRequest, sendFollowing } from './redirects.ts'
import { Transport } from './transport.ts'

/** How a registry or a mirror is reached; all defaults are filled in. */
export interface EndpointOptions {
  readonly auth: RegistryAuth | undefined
  readonly insecure: boolean | 'loopback'
  readonly ca: string | Buffer | undefined
  readonly proxy: string | undefined
  readonly userAgent: string
  readonly retries: number
  readonly stallTimeoutMs: number
  readonly credentials: CredentialStore
}

/** A request to an endpoint. */
export interface EndpointRequest {
  readonly purpose: Purpose
  readonly method: HopRequest['method']
  /** Below `/v2/`, or a whole URL that the endpoint gave (the place of an upload, the next page). */
  readonly target: string | URL
  /** Scopes that a token needs, such as `repository:library/alpine:pull`. */
  readonly scopes: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: (() => Buffer | Readable) | undefined
  readonly headersTimeoutMs?: number | undefined
  /** Statuses to be returned; all others reject. */
  readonly expected: readonly number[]
  readonly signal?: AbortSignal | undefined
}

/** One host that speaks the distribution protocol: the registry, or one of its mirrors. */
export class Endpoint {
  readonly host: RegistryHost
  readonly retries: number
  readonly stallTimeoutMs: number
  readonly #transport: Transport
  readonly #authorizer: Authorizer
  readonly #userAgent: string
  #base: SharedWork<URL> | undefined

  constructor(host: RegistryHost, options: EndpointOptions) {
    this.host = host
    this.retries = options.retries
    this.stallTimeoutMs = options.stallTimeoutMs
    this.#userAgent = options.userAgent
    this.#transport = new Transport({ ...options, hostname: host.hostname })
    this.#authorizer = new Authorizer({ ...options, host, transport: this.#transport })
  }

  /** Repository name with the prefix that a mirror may put before it. */
  pathOf(repository: string): string {
    return this.host.prefix === '' ? repository : `${this.host.prefix}/${repository}`
  }

  close(): Promise<void> {
    return this.#transport.close()
  }

  /**
   * Sends a request once, with credentials where the registry wants them.
   *
   * @throws {RegistryError} @throws {RegistryAuthError} @throws {NotFoundError} for other statuses than the expected.
   */
  async request(request: EndpointRequest): Promise<Answer> {
    const { purpose, signal } = request
    signal?.throwIfAborted()
    const base = await this.#findBase(purpose, signal)
    const url = request.target instanceof URL ? request.target : new URL(`v2/${request.target}`, base)
    const atHome = url.origin === base.origin
    let { scopes } = request
    let authorization = atHome ? await this.#authorizer.authorization(purpose, base, scopes, signal) : undefined
    for (let attempt = 0; ; attempt++) {
      const answer = await this.#send(request, url, authorization)
      if (request.expected.includes(answer.status)) return answer
      if (answer.status !== 401 || !atHome || answer.url.origin !== base.origin || attempt >= 2) {
        throw await this.#failure(request, answer, authorization)
      }
      const challenges = parseChallenges(answer.headers['www-authenticate'])
      const failure = await this.#failure(request, answer, authorization)
      if (!this.#authorizer.learn(challenges)) throw failure
      // A registry may want more than the specification says.
      const wanted = challenges.flatMap(({ parameters }) => parameters.get('scope')?.split(' ') ?? [])
      this.#authorizer.forget(scopes)
      scopes = mergeScopes(scopes, wanted)
      this.#authorizer.forget(scopes)
      const next = await this.#authorizer.authorization(purpose, base, scopes, signal)
      if (next === undefined || next === authorization) throw failure
      authorization = next
    }
  }

  async #send(request: EndpointRequest, url: URL, authorization: string | undefined): Promise<Answer> {
    const { method, purpose, body, headersTimeoutMs, signal } = request
    const headers = { 'user-agent': this.#userAgent, 'accept-encoding': 'identity', ...request.headers }
    const hop = { method, url, headers, body, authorization, headersTimeoutMs, signal }
    return sendFollowing(this.#transport, purpose, hop, this.stallTimeoutMs)
  }

  async #failure(request: EndpointRequest, answer: Answer, authorization: string | undefined): Promise<Error> {
    const body = await readStart(answer.body)
    request.signal?.throwIfAborted()
    return answerError(request.purpose, {
      ...answer,
      body,
      hadCredentials: await this.#hadCredentials(request, authorization),
    })
  }

  // A token alone does not say: services give them to anybody.
  async #hadCredentials(request: EndpointRequest, authorization: string | undefined): Promise<boolean> {
    return authorization !== undefined && (await this.#authorizer.hasCredentials(request.scopes))
  }

  async #findBase(purpose: Purpose, signal: AbortSignal | undefined): Promise<URL> {
    const { authority, scheme } = this.host
    const [https, http] = [new URL(`https://${authority}/`), new URL(`http://${authority}/`)]
    if (scheme === 'https:' || (scheme === undefined && !this.#transport.allowsInsecure(https))) return https
    if (scheme === 'http:') return http
    // Requests share the answer, so it does not depend on the one that asked first.
    if (this.#base === undefined || this.#base.isOver) {
      this.#base = new SharedWork((shared) => this.#probe(purpose, https, http, shared))
    }
    return this.#base.wait(signal)
  }

  /** Tries https, then http, as Docker does where http is acceptable. */
  async #probe(purpose: Purpose, https: URL, http: URL, signal: AbortSignal): Promise<URL> {
    let reason: unknown
    for (const base of [https, http]) {
      try {
        const url = new URL('v2/', base)
        const headers = { 'user-agent': this.#userAgent }
        const hop: HopRequest = { method: 'GET', url, headers, signal }
        const answer = await sendFollowing(this.#transport, purpose, hop, this.stallTimeoutMs)
        this.#authorizer.learn(parseChallenges(answer.headers['www-authenticate']))
        await readStart(answer.body)
        return base
      } catch (error) {
        signal.throwIfAborted()
        // That of http says more, except where https was refused for what it is.
        reason = error
      }
    }
    throw reason
  }
}

function mergeScopes(scopes: readonly string[], wanted: readonly string[]): string[] {
  const merged = new Map<string, Set<string>>()
  for (const scope of [...scopes, ...wanted.slice(0, 20)]) {
    const colon = scope.lastIndexOf(':')
    if (colon <= 0 || scope.length > 1024) continue
    const resource = scope.slice(0, colon)
    const actions = merged.get(resource) ?? new Set()
    for (const action of scope.slice(colon + 1).split(',')) actions.add(action)
    merged.set(resource, actions)
  }
  return [...merged].map(([resource, actions]) => `${resource}:${[...actions].join(',')}`)
}

/** Scopes for a repository. */
export function repositoryScope(path: string, actions: string): string {
  return `repository:${path}:${actions}`
}

/** The only header of this name. @throws {RegistryError} where it is missing. */
export function requireHeader(purpose: Purpose, answer: Answer, name: string): string {
  const value = answer.headers[name]
  if (typeof value === 'string') return value
  throw protocolError(purpose, answer.method, answer.url, `answered without the header ${name}`)
}
