// SPDX-License-Identifier: MIT
import { createSign, randomUUID, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { TestContext } from 'node:test'
import { listen } from './listen.ts'

export interface TokenServerOptions {
  /** PEM files: of the key that signs, and of its certificate. */
  keyPath: string
  certificatePath: string
  user: { username: string; password: string }
  /** @default 300 */
  lifetimeSeconds?: number
}

/** What was asked of the server. */
export interface TokenRequest {
  method: string
  scopes: string[]
  authorization: string | undefined
  form: URLSearchParams | undefined
}

export interface TokenServer {
  readonly realm: string
  readonly service: string
  readonly issuer: string
  /** Accepted as `refresh_token` in the OAuth2 form. */
  readonly identityToken: string
  readonly requests: TokenRequest[]
}

/** A token service as docker-registry wants it, on loopback. Anybody may pull from `public/…`, the user may do everything. */
export async function startTokenServer(t: TestContext, options: TokenServerOptions): Promise<TokenServer> {
  const key = await readFile(options.keyPath, 'utf8')
  const certificate = new X509Certificate(await readFile(options.certificatePath)).raw.toString('base64')
  const common = {
    service: 'registry.test',
    issuer: 'token.test',
    identityToken: randomUUID(),
    requests: [] as TokenRequest[],
  }
  const lifetimeSeconds = options.lifetimeSeconds ?? 300

  const sign = (scopes: readonly string[], known: boolean): string => {
    const now = Math.floor(Date.now() / 1000)
    const access = scopes.map(parseScope).map(({ type, name, actions }) => {
      const open = name.startsWith('public/') ? actions.filter((action) => action === 'pull') : []
      return { type, name, actions: known ? actions : open }
    })
    const times = { iat: now, nbf: now - 5, exp: now + lifetimeSeconds }
    const claims = { iss: common.issuer, sub: '', aud: common.service, jti: randomUUID(), access, ...times }
    const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const text = `${encode({ typ: 'JWT', alg: 'RS256', x5c: [certificate] })}.${encode(claims)}`
    return `${text}.${createSign('RSA-SHA256').update(text).sign(key).toString('base64url')}`
  }

  const server = createServer((request, response) => {
    void answer(request, response)
  })
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://token')
    const form = request.method === 'POST' ? new URLSearchParams(await readText(request)) : undefined
    const scopes = (
      form === undefined ? url.searchParams.getAll('scope') : (form.get('scope') ?? '').split(' ')
    ).filter(Boolean)
    const { authorization } = request.headers
    common.requests.push({ method: request.method ?? '', scopes, authorization, form })
    const { username, password } = options.user
    const basic = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
    const known = form === undefined ? authorization === basic : form.get('refresh_token') === common.identityToken
    const refused = form === undefined ? authorization !== undefined && !known : !known
    response.writeHead(refused ? 401 : 200, { 'content-type': 'application/json' })
    const token = refused ? undefined : sign(scopes, known)
    response.end(
      JSON.stringify(
        refused
          ? { details: 'incorrect username or password' }
          : { token, access_token: token, expires_in: lifetimeSeconds },
      ),
    )
  }
  return { ...common, realm: `http://${await listen(t, server)}/token` }
}

function parseScope(scope: string): { type: string; name: string; actions: string[] } {
  const [, type = '', name = '', actions = ''] = /^([^:]+):(.+):([^:]*)$/.exec(scope) ?? []
  return { type, name, actions: actions.split(',') }
}

async function readText(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += chunk
  return text
}
