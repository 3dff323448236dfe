// SPDX-License-Identifier: MIT
import type { IncomingMessage } from 'node:http'
import { RequestError } from './errors.ts'
import type { RegistryServerAccess, RegistryServerCredentials } from './options.ts'
import { type Authorize, parseBasic } from './passwords.ts'
import type { TokenAccess, Tokens } from './token.ts'

/** Decides who may do what, by Basic authentication or by tokens. */
export class Gate {
  readonly #authorizer: Authorize | undefined
  readonly #tokens: Tokens | undefined
  /** `http` or `https`, for the address of the token endpoint. */
  readonly #scheme: string

  constructor(authorizer: Authorize | undefined, tokens: Tokens | undefined, scheme: string) {
    this.#authorizer = authorizer
    this.#tokens = tokens
    this.#scheme = scheme
  }

  /** Lets a request pass. @throws {RequestError} UNAUTHORIZED with a challenge, or DENIED */
  async check(request: IncomingMessage, access: RegistryServerAccess): Promise<void> {
    if (await this.allows(request, access)) return
    const known = this.#tokens === undefined && (await this.#isKnown(request))
    if (known) throw new RequestError('DENIED', 'you have no right to do this', { detail: describe(access) })
    const challenge = this.#tokens === undefined ? kBasicChallenge : this.#tokenChallenge(this.#tokens, request, access)
    throw new RequestError('UNAUTHORIZED', 'authentication required', {
      detail: describe(access),
      headers: { 'WWW-Authenticate': challenge },
    })
  }

  async allows(request: IncomingMessage, access: RegistryServerAccess): Promise<boolean> {
    const header = request.headers.authorization
    if (this.#tokens !== undefined) {
      const token = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1]
      const rights = token === undefined ? undefined : this.#tokens.check(token)
      return rights !== undefined && carries(rights, access)
    }
    return this.#ask(parseBasic(header), access)
  }

  /** What of a list of wishes somebody may do. */
  async grant(credentials: RegistryServerCredentials | undefined, wishes: TokenAccess[]): Promise<TokenAccess[]> {
    const granted: TokenAccess[] = []
    for (const wish of wishes) {
      const actions: string[] = []
      for (const access of accessesOf(wish)) {
        const allowed = await this.#ask(credentials, access)
        if (allowed) actions.push(access.action === 'catalog' ? '*' : access.action)
      }
      if (actions.length > 0) granted.push({ ...wish, actions })
    }
    return granted
  }

  /** Whether somebody is who they say. A ping is what every user may do. */
  async admits(credentials: RegistryServerCredentials | undefined): Promise<boolean> {
    if (credentials === undefined || this.#authorizer === undefined) return true
    return this.#authorizer(credentials, { repository: undefined, action: 'ping' })
  }

  async #ask(credentials: RegistryServerCredentials | undefined, access: RegistryServerAccess): Promise<boolean> {
    return this.#authorizer === undefined || this.#authorizer(credentials, access)
  }

  async #isKnown(request: IncomingMessage): Promise<boolean> {
    const credentials = parseBasic(request.headers.authorization)
    return credentials !== undefined && (await this.admits(credentials))
  }

  #tokenChallenge(tokens: Tokens, request: IncomingMessage, access: RegistryServerAccess): string {
    const realm = tokens.realm ?? `${this.#scheme}://${hostOf(request)}/token`
    const parts = [`realm="${realm}"`, `service="${tokens.service}"`]
    const scope = scopeOf(access)
    if (scope !== undefined) parts.push(`scope="${scope}"`)
    if (request.headers.authorization !== undefined) {
      const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization)?.[1] ?? ''
      parts.push(`error="${tokens.check(token) === undefined ? 'invalid_token' : 'insufficient_scope'}"`)
    }
    return `Bearer ${parts.join(',')}`
  }
}

const kBasicChallenge = 'Basic realm="wherry", charset="UTF-8"'

/** The client's own name for this server. It goes into the answer to that client only. */
function hostOf(request: IncomingMessage): string {
  const { host = '' } = request.headers
  if (/^[A-Za-z0-9.-]+(?::\d+)?$|^\[[0-9a-fA-F:.]+\](?::\d+)?$/.test(host)) return host
  return `${request.socket.localAddress ?? '127.0.0.1'}:${request.socket.localPort ?? 0}`
}

function scopeOf({ repository, action }: RegistryServerAccess): string | undefined {
  if (action === 'catalog') return 'registry:catalog:*'
  if (repository === undefined) return undefined
  return `repository:${repository}:${action === 'push' ? 'pull,push' : action}`
}

function carries(rights: TokenAccess[], { repository, action }: RegistryServerAccess): boolean {
  if (action === 'ping') return true
  const [type, name] = action === 'catalog' ? ['registry', 'catalog'] : ['repository', repository]
  return rights.some(
    (each) => each.type === type && each.name === name && (each.actions.includes(action) || each.actions.includes('*')),
  )
}

function accessesOf({ type, name, actions }: TokenAccess): RegistryServerAccess[] {
  if (type === 'registry') return name === 'catalog' ? [{ repository: undefined, action: 'catalog' }] : []
  if (type !== 'repository') return []
  const all = ['pull', 'push', 'delete'] as const
  return all
    .filter((action) => actions.includes(action) || actions.includes('*'))
    .map((action) => ({ repository: name, action }))
}

function describe({ repository, action }: RegistryServerAccess): Record<string, string> {
  return repository === undefined ? { action } : { repository, action }
}
