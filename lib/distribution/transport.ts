import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns'
import { env } from 'node:process'
import type { Readable } from 'node:stream'
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'
import type { Agent, Dispatcher } from 'undici'
import { type AddressKind, addressKind, hostnameOf, isLoopbackHost } from './hosts.ts'
import { proxyFor } from './proxy.ts'
import { loadUndici, type Undici } from './undici.ts'

const kConnectTimeoutMs = 10_000
const kKeepAliveMs = 10_000
const kBodyBufferBytes = 256 * 1024
/** Answers of status 1xx before the one that counts; more than a few have no use. */
const kMaxInterimAnswers = 20

/** How one registry is reached. */
export interface TransportOptions {
  /** Host of the registry itself: connections to it are exempt from the guard of addresses. */
  readonly hostname: string
  /** Certificates are not verified, plain http is accepted: `true` everywhere, `'loopback'` on this machine. */
  readonly insecure: boolean | 'loopback'
  /** PEM of further certificate authorities. */
  readonly ca: string | Buffer | undefined
  /** `undefined`: by the environment. */
  readonly proxy: string | undefined
  readonly stallTimeoutMs: number
}

/** One request. Nothing is added to its headers. */
export interface TransportRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: URL
  readonly headers: Record<string, string>
  readonly body?: Buffer | Readable | undefined
  /** Longest wait for the first byte of the answer. @default stallTimeoutMs */
  readonly headersTimeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** An answer whose body must be read or destroyed. */
export interface TransportAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Readable
}

/** A target that is refused before a connection is made. */
export class ForbiddenTargetError extends Error {
  readonly code = 'ERR_FORBIDDEN_TARGET'
}

/** A server announces an answer (1xx) and does not give it. */
export class InterimAnswersError extends Error {
  readonly code = 'ERR_INTERIM_ANSWERS'
}

/**
 * Connections to one registry and to where it sends its clients: own agents of undici, with the registry's certificates and proxy.
 *
 * A registry elsewhere cannot direct a client to addresses of this machine or its link (metadata services), neither by address nor
 * by a name that resolves to one; through a proxy only addresses are checked, since the proxy resolves names.
 */
export class Transport {
  readonly #options: TransportOptions
  readonly #agents = new Map<string, Agent>()
  #undici: Promise<Undici> | undefined
  #closed = false
  /** Kinds of addresses the registry itself has. */
  readonly #ownKinds = new Set<AddressKind>(['other'])
  #secureContext: SecureContext | undefined

  constructor(options: TransportOptions) {
    this.#options = options
    const kind = isLoopbackHost(options.hostname) ? 'loopback' : addressKindOfLiteral(options.hostname)
    if (kind !== undefined) this.#ownKinds.add(kind)
  }

  /** Whether plain http and certificates that nobody verified will do for a host. */
  allowsInsecure(url: URL): boolean {
    return this.#options.insecure === 'loopback' ? isLoopbackHost(hostnameOf(url)) : this.#options.insecure
  }

  /** Sends a request and gives the answer as soon as its headers are there. Follows no redirects. */
  async send(request: TransportRequest): Promise<TransportAnswer> {
    const { url, signal, stallTimeoutMs } = { ...this.#options, ...request }
    this.#checkTarget(url)
    const agent = await this.#agentFor(url)
    const headersTimeout = request.headersTimeoutMs ?? stallTimeoutMs
    const answer = await agent.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: request.method,
      headers: request.headers,
      body: request.body ?? null,
      headersTimeout,
      bodyTimeout: stallTimeoutMs,
      highWaterMark: kBodyBufferBytes,
      onInfo: limitInformation(headersTimeout),
      ...(signal === undefined ? {} : { signal }),
    })
    return { status: answer.statusCode, headers: answer.headers, body: answer.body }
  }

  /** Ends all connections at once; requests under way fail. */
  async close(): Promise<void> {
    this.#closed = true
    const agents = [...this.#agents.values()]
    this.#agents.clear()
    await Promise.all(agents.map((agent) => agent.destroy()))
  }

  #checkTarget(url: URL): void {
    if (url.protocol !== 'https:' && url.protocol !== 'http:') {
      throw new ForbiddenTargetError(`${url.protocol} is not a scheme that a registry may use`)
    }
    const hostname = hostnameOf(url)
    const kind = isLoopbackHost(hostname) ? 'loopback' : addressKindOfLiteral(hostname)
    if (kind !== undefined) this.#checkKind(hostname, kind)
  }

  #checkKind(hostname: string, kind: AddressKind): void {
    if (this.#ownKinds.has(kind)) return
    const place = kind === 'loopback' ? 'this machine' : 'its link or a metadata service'
    throw new ForbiddenTargetError(`${this.#options.hostname} may not direct requests to ${place} (${hostname})`)
  }

  async #agentFor(url: URL): Promise<Agent> {
    this.#undici ??= loadUndici()
    const undici = await this.#undici
    if (this.#closed) throw new Error('the registry client is closed')
    const proxy = this.#options.proxy ?? proxyFor(url, env)
    const insecure = this.allowsInsecure(url)
    const key = `${insecure ? 'insecure' : 'verified'} ${proxy ?? ''}`
    let agent = this.#agents.get(key)
    if (agent === undefined) {
      agent = this.#makeAgent(undici, proxy, insecure)
      this.#agents.set(key, agent)
    }
    return agent
  }

  #makeAgent(undici: Undici, proxy: string | undefined, insecure: boolean): Agent {
    const tls = {
      timeout: kConnectTimeoutMs,
      ...(insecure ? { rejectUnauthorized: false } : {}),
      ...(this.#options.ca === undefined ? {} : { secureContext: this.#context(this.#options.ca) }),
    }
    const common = { keepAliveTimeout: kKeepAliveMs, keepAliveMaxTimeout: 4 * kKeepAliveMs }
    if (proxy !== undefined) {
      const agent: Dispatcher = new undici.ProxyAgent({ ...common, uri: proxy, requestTls: tls })
      return agent as Agent
    }
    const guarded = (host: string, options: object, callback: LookupCallback): void =>
      this.#lookup(host, options, callback)
    return new undici.Agent({ ...common, connect: { ...tls, autoSelectFamily: true, lookup: guarded } })
  }

  // The authorities are added to those that are known anyway: a registry may redirect to another host for its blobs.
  #context(ca: string | Buffer): SecureContext {
    this.#secureContext ??= createSecureContext({ ca: [...rootCertificates, ca] })
    return this.#secureContext
  }

  #lookup(hostname: string, options: object, callback: LookupCallback): void {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, [])
      try {
        for (const { address } of addresses) {
          const kind = addressKind(address)
          if (hostname.toLowerCase() === this.#options.hostname) this.#ownKinds.add(kind)
          else this.#checkKind(`${hostname}, ${address}`, kind)
        }
      } catch (refusal) {
        return callback(refusal as NodeJS.ErrnoException, [])
      }
      const { all } = options as { all?: boolean }
      const first = addresses[0]
      if (all === true || first === undefined) return callback(null, addresses)
      return callback(null, first.address, first.family)
    })
  }
}

/** Interim answers (1xx) start undici's clock anew: without a limit an answer could be announced for ever. */
function limitInformation(timeoutMs: number): () => void {
  const start = performance.now()
  let count = 0
  // What this throws ends the request.
  return () => {
    count += 1
    if (count > kMaxInterimAnswers) throw new InterimAnswersError(`more than ${kMaxInterimAnswers} interim answers`)
    if (performance.now() - start > timeoutMs) throw new InterimAnswersError(`only interim answers for ${timeoutMs} ms`)
  }
}

type LookupCallback = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void

function addressKindOfLiteral(hostname: string): AddressKind | undefined {
  const isLiteral = /^[\d.]+$/.test(hostname) || hostname.includes(':')
  return isLiteral ? addressKind(hostname) : undefined
}
