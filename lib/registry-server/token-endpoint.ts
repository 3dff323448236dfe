// SPDX-License-Identifier: MIT
import { isRepositoryPath } from '../oci/reference.ts'
import { RequestError } from './errors.ts'
import { type Exchange, receiveAll, sendJson } from './exchange.ts'
import type { RegistryServerCredentials } from './options.ts'
import type { ServerParts } from './parts.ts'
import { parseBasic } from './passwords.ts'
import type { TokenAccess } from './token.ts'

const kMaxFormBytes = 64 * 1024
const kMaxScopes = 64

/**
 * Gives a client a token with those of the rights asked for that it may have: by GET with Basic authentication, or by POST
 * with a password in a form.
 *
 * @source https://distribution.github.io/distribution/spec/auth/token/
 */
export async function serveToken({ tokens, gate }: ServerParts, exchange: Exchange): Promise<void> {
  if (tokens === undefined || tokens.realm !== undefined) {
    throw new RequestError('UNSUPPORTED', 'the registry has no such path', { status: 404 })
  }
  const { parameters, credentials } = await readWish(exchange)
  if (!(await gate.admits(credentials))) {
    const headers = { 'WWW-Authenticate': 'Basic realm="wherry", charset="UTF-8"' }
    throw new RequestError('UNAUTHORIZED', 'the name or password is wrong', { headers })
  }
  const access = await gate.grant(credentials, parseScopes(parameters.getAll('scope')))
  const { token, issuedAt } = tokens.issue(credentials?.username ?? '', access)
  const body = { token, access_token: token, expires_in: tokens.lifetimeSeconds, issued_at: issuedAt }
  sendJson(exchange, 200, body, { 'Cache-Control': 'no-store' })
}

async function readWish(
  exchange: Exchange,
): Promise<{ parameters: URLSearchParams; credentials: RegistryServerCredentials | undefined }> {
  const { request } = exchange
  if (request.method !== 'POST') {
    const credentials = parseBasic(request.headers.authorization)
    if (credentials === undefined && request.headers.authorization !== undefined) {
      throw new RequestError('UNAUTHORIZED', 'the Authorization header is not Basic')
    }
    return { parameters: exchange.query, credentials }
  }
  const parameters = new URLSearchParams((await receiveAll(exchange, kMaxFormBytes)).toString())
  const username = parameters.get('username')
  const password = parameters.get('password')
  if (parameters.get('grant_type') !== 'password' || username === null || password === null) {
    throw new RequestError('UNSUPPORTED', 'only the grant type password is supported', { status: 400 })
  }
  return { parameters, credentials: { username, password } }
}

/** Reads scopes such as `repository:library/app:pull,push`; several may stand in one parameter. What is malformed is left out. */
export function parseScopes(parameters: readonly string[]): TokenAccess[] {
  const wishes: TokenAccess[] = []
  for (const text of parameters.flatMap((each) => each.split(' ')).slice(0, kMaxScopes)) {
    const match = /^(repository|registry)(?:\([a-z]+\))?:([^:]+):([a-z,*]+)$/.exec(text)
    const [, type = '', name = '', actions = ''] = match ?? []
    if (match !== null && isRepositoryPath(name)) wishes.push({ type, name, actions: actions.split(',') })
  }
  return wishes
}
