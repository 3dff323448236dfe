import * as v from 'valibot'
import { withDeadline } from '../async/deadline.ts'
import { SharedWork } from '../async/shared-work.ts'
import { RegistryAuthError } from '../errors.ts'
import { answerError, type Purpose, printable, protocolError, redactUrl } from './answer-error.ts'
import { readBody, readStart } from './body.ts'
import type { AuthChallenge } from './challenge.ts'
import { basicAuthorization, type CredentialStore, type RegistryAuth } from './credentials.ts'
import { hostnameOf, type RegistryHost } from './hosts.ts'
import { longPatienceMs } from './patience.ts'
import { type Answer, type HopRequest, sendFollowing } from './redirects.ts'
import { retrying } from './retry.ts'
import type { Transport } from './transport.ts'

const kMaxTokenBytes = 256 * 1024
/** A token without a lifetime lasts so long by the specification. */
const kDefaultLifetimeMs = 60_000
/** A token is renewed so long before its end: a request takes time to arrive. */
const kMarginMs = 10_000
const kClientId = 'wherry'

const tokenSchema = v.object({
  token: v.optional(v.string()),
  access_token: v.optional(v.string()),
  expires_in: v.optional(v.number()),
})

interface Token {
  readonly value: SharedWork<string>
  expiresAt: number
}

/** What an {@link Authorizer} works with. */
export interface AuthorizerOptions {
  readonly host: RegistryHost
  readonly transport: Transport
  /** Said by the caller; `undefined` asks the store. */
  readonly auth: RegistryAuth | undefined
  readonly credentials: CredentialStore
  readonly userAgent: string
  readonly retries: number
  readonly stallTimeoutMs: number
}

/** Answers one registry's challenges: Basic, and Bearer with tokens kept for each set of scopes until they expire. */
export class Authorizer {
  readonly #options: AuthorizerOptions
  #challenge: AuthChallenge | undefined
  readonly #tokens = new Map<string, Token>()

  constructor(options: AuthorizerOptions) {
    this.#options = options
  }

  /** Remembers how the registry wants to be asked. @returns whether that is a way known here. */
  learn(challenges: readonly AuthChallenge[]): boolean {
    const known = challenges.find(({ scheme, parameters }) => {
      return scheme === 'basic' || (scheme === 'bearer' && parameters.has('realm'))
    })
    if (known !== undefined) this.#challenge = known
    return known !== undefined
  }

  /** The `Authorization` for a request, or `undefined` where there is none to send. */
  async authorization(
    purpose: Purpose,
    base: URL,
    scopes: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const { auth } = this.#options
    if (typeof auth === 'object' && 'registryToken' in auth) return `Bearer ${auth.registryToken}`
    const challenge = this.#challenge
    if (challenge === undefined) return undefined
    if (challenge.scheme === 'bearer') return `Bearer ${await this.#token(purpose, base, challenge, scopes, signal)}`
    const found = await this.#find(scopes, signal)
    return found !== 'anonymous' && 'username' in found ? basicAuthorization(found.username, found.password) : undefined
  }

  /** Forgets the token for these scopes: the registry did not take it. */
  forget(scopes: readonly string[]): void {
    this.#tokens.delete(scopeKey(scopes))
  }

  async hasCredentials(scopes: readonly string[]): Promise<boolean> {
    return (await this.#find(scopes, undefined).catch(() => 'anonymous')) !== 'anonymous'
  }

  async #find(scopes: readonly string[], signal: AbortSignal | undefined): Promise<RegistryAuth> {
    const { auth, credentials, host } = this.#options
    return auth ?? (await credentials.find(host, repositoryOf(scopes), signal))
  }

  async #token(
    purpose: Purpose,
    base: URL,
    challenge: AuthChallenge,
    scopes: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const key = scopeKey(scopes)
    let token = this.#tokens.get(key)
    if (token === undefined || token.value.isOver || token.expiresAt < Date.now()) {
      const onLifetime = (lifetimeMs: number): void => {
        made.expiresAt = Date.now() + lifetimeMs
      }
      // Requests share a token, so it does not end with the first of them that is aborted.
      const made: Token = {
        value: new SharedWork((shared) => this.#fetch(purpose, base, challenge, scopes, onLifetime, shared)),
        expiresAt: Number.POSITIVE_INFINITY,
      }
      this.#tokens.set(key, made)
      token = made
    }
    return token.value.wait(signal)
  }

  async #fetch(
    purpose: Purpose,
    base: URL,
    challenge: AuthChallenge,
    scopes: readonly string[],
    onLifetime: (lifetimeMs: number) => void,
    signal: AbortSignal,
  ): Promise<string> {
    const { transport, retries, stallTimeoutMs, userAgent } = this.#options
    const realm = this.#realm(purpose, base, challenge)
    const auth = await this.#find(scopes, signal)
    const request = tokenRequest(realm, challenge.parameters.get('service'), scopes, auth)
    const headers = {
      ...request.headers,
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': userAgent,
    }
    return retrying(retries, signal, () =>
      withDeadline('Getting a token', longPatienceMs(stallTimeoutMs), signal, async (limited) => {
        const answer = await sendFollowing(transport, purpose, { ...request, headers, signal: limited }, stallTimeoutMs)
        if (answer.status !== 200) throw await refusal(purpose, answer, auth !== 'anonymous')
        const { value, lifetimeMs } = await readToken(purpose, answer)
        onLifetime(lifetimeMs)
        return value
      }),
    )
  }

  #realm(purpose: Purpose, base: URL, challenge: AuthChallenge): URL {
    const text = challenge.parameters.get('realm') ?? ''
    let realm: URL
    try {
      realm = new URL(text, base)
    } catch {
      throw protocolError(purpose, 'GET', base, `names a token service that is no URL (${printable(text)})`)
    }
    const samePlainHost = base.protocol === 'http:' && hostnameOf(base) === hostnameOf(realm)
    if (realm.protocol !== 'https:' && !samePlainHost && !this.#options.transport.allowsInsecure(realm)) {
      const reason = `names a token service without https (${redactUrl(realm)}), which gets no credentials`
      throw new RegistryAuthError(purpose.intent, reason, { method: 'GET', url: redactUrl(base) })
    }
    return realm
  }
}

/**
 * The request for a token: OAuth2 with an identity token, else the simple form.
 *
 * @source https://distribution.github.io/distribution/spec/auth/token/
 */
function tokenRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  auth: RegistryAuth,
): HopRequest {
  if (typeof auth === 'object' && 'identityToken' in auth) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: auth.identityToken,
      client_id: kClientId,
    })
    if (service !== undefined) form.set('service', service)
    if (scopes.length > 0) form.set('scope', scopes.join(' '))
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    return { method: 'POST', url: realm, headers, body: () => Buffer.from(form.toString()) }
  }
  const url = new URL(realm)
  url.username = ''
  url.password = ''
  if (service !== undefined) url.searchParams.set('service', service)
  for (const scope of scopes) url.searchParams.append('scope', scope)
  if (auth === 'anonymous' || !('username' in auth)) return { method: 'GET', url, headers: {} }
  url.searchParams.set('account', auth.username)
  return { method: 'GET', url, headers: {}, authorization: basicAuthorization(auth.username, auth.password) }
}

async function refusal(purpose: Purpose, answer: Answer, hadCredentials: boolean): Promise<Error> {
  const failed = { ...answer, body: await readStart(answer.body), hadCredentials }
  // Token services answer all kinds of statuses to a wrong password.
  const isRefusal = answer.status >= 400 && answer.status < 500 && answer.status !== 429 && answer.status !== 408
  return answerError(purpose, { ...failed, isRefusal })
}

async function readToken(purpose: Purpose, answer: Answer): Promise<{ value: string; lifetimeMs: number }> {
  const bytes = await readBody(purpose, answer, kMaxTokenBytes)
  let parsed: v.InferOutput<typeof tokenSchema> | undefined
  try {
    parsed = v.parse(tokenSchema, JSON.parse(bytes.toString()))
  } catch {
    parsed = undefined
  }
  const value = parsed?.token || parsed?.access_token
  if (value === undefined || value === '' || !/^[\x21-\x7e]+$/.test(value)) {
    throw protocolError(purpose, answer.method, answer.url, 'did not answer with a token')
  }
  const seconds = parsed?.expires_in
  const lifetimeMs = seconds !== undefined && seconds > 0 ? seconds * 1000 : kDefaultLifetimeMs
  return { value, lifetimeMs: Math.max(lifetimeMs - kMarginMs, lifetimeMs / 2) }
}

/** The repository a scope is for. */
function repositoryOf(scopes: readonly string[]): string | undefined {
  return /^repository:([^:]+):/.exec(scopes[0] ?? '')?.[1]
}

function scopeKey(scopes: readonly string[]): string {
  return [...scopes].sort().join(' ')
}
