import type { Readable } from 'node:stream'
import { InvalidOptionError } from '../errors.ts'
import { networkError, type Purpose, protocolError } from './answer-error.ts'
import { ForbiddenTargetError, type Transport, type TransportAnswer, type TransportRequest } from './transport.ts'

const kMaxRedirects = 10
const kRedirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** A request as it is written, before it is known how often it is sent. */
export interface HopRequest {
  readonly method: TransportRequest['method']
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** Makes the body; called again for each time it is sent. */
  readonly body?: (() => Buffer | Readable) | undefined
  /** Goes to the origin of `url` only. */
  readonly authorization?: string | undefined
  readonly headersTimeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** The last answer, and where it came from. */
export interface Answer extends TransportAnswer {
  readonly method: string
  readonly url: URL
  /** Of the request; for the errors that its body may still end with. */
  readonly stallTimeoutMs: number
  readonly signal: AbortSignal | undefined
}

/**
 * Sends a request and follows redirects, at most 10.
 *
 * `Authorization` is gone for good once the origin (scheme, host, port) changes. From https to plain http it follows only where the
 * registry may be reached so.
 *
 * @throws {RegistryError}
 */
export async function sendFollowing(
  transport: Transport,
  purpose: Purpose,
  request: HopRequest,
  stallTimeoutMs: number,
): Promise<Answer> {
  let { url, authorization } = request
  for (let count = 0; ; count++) {
    const answer = await sendOnce(transport, purpose, { ...request, url, authorization }, stallTimeoutMs)
    const location = answer.headers.location
    if (!kRedirects.has(answer.status) || typeof location !== 'string') return answer
    // What the redirect says in its body is of no interest; the connection is given up rather than read to the end.
    answer.body.on('error', () => undefined).destroy()
    if (count >= kMaxRedirects)
      throw protocolError(purpose, request.method, url, `redirects more than ${kMaxRedirects} times`)
    const target = checkRedirect(transport, purpose, request.method, answer, location)
    if (target.origin !== url.origin) authorization = undefined
    url = target
  }
}

function checkRedirect(transport: Transport, purpose: Purpose, method: string, answer: Answer, location: string): URL {
  const { url, status } = answer
  const target = resolveLocation(purpose, method, url, location)
  if (url.protocol === 'https:' && target.protocol === 'http:' && !transport.allowsInsecure(target)) {
    throw protocolError(purpose, method, url, `redirects from https to plain http (${target.host}), which is refused`)
  }
  if (method !== 'GET' && method !== 'HEAD' && status !== 307 && status !== 308) {
    throw protocolError(purpose, method, url, `answered ${status}, a redirect that is not for ${method}`)
  }
  return target
}

/** Resolves a `Location` or `Link`. @throws {RegistryError} where it is no URL of http or carries a user. */
export function resolveLocation(purpose: Purpose, method: string, base: URL, location: string): URL {
  try {
    const target = new URL(location, base)
    const isHttp = target.protocol === 'https:' || target.protocol === 'http:'
    if (isHttp && target.username === '' && target.password === '') {
      target.hash = ''
      return target
    }
  } catch {
    // The error below says it.
  }
  throw protocolError(purpose, method, base, 'points to a location that is no plain URL')
}

async function sendOnce(
  transport: Transport,
  purpose: Purpose,
  request: HopRequest,
  stallTimeoutMs: number,
): Promise<Answer> {
  const { method, url, signal, authorization } = request
  const headers = { ...request.headers, ...(authorization === undefined ? {} : { authorization }) }
  try {
    const body = request.body?.()
    const { headersTimeoutMs } = request
    const answer = await transport.send({ method, url, headers, body, headersTimeoutMs, signal })
    return { ...answer, method, url, stallTimeoutMs, signal }
  } catch (error) {
    signal?.throwIfAborted()
    // A proxy of the environment that is none.
    if (error instanceof InvalidOptionError) throw error
    if (error instanceof ForbiddenTargetError)
      throw protocolError(purpose, method, url, `was not sent: ${error.message}`)
    throw networkError(purpose, method, url, error, stallTimeoutMs)
  }
}
