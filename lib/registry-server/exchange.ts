// SPDX-License-Identifier: MIT
import type { IncomingMessage, ServerResponse } from 'node:http'
import { RequestError } from './errors.ts'

/** One request and its answer. */
export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly query: URLSearchParams
  /** The client waits for a word before it sends the body (`Expect: 100-continue`). */
  readonly awaitsContinue: boolean
  /** Time without progress of a body, in either direction, after which the connection is cut. */
  readonly idleTimeoutMs: number
  /** Aborts when the connection is gone before the answer was complete. */
  readonly signal: AbortSignal
}

/** Header fields of an answer. */
export type Headers = Readonly<Record<string, string | number | readonly string[] | undefined>>

/** Answers without a body. */
export function sendEmpty(exchange: Exchange, status: number, headers: Headers = {}): void {
  const { response } = exchange
  setHeaders(exchange, headers)
  // 204 must have none.
  if (status !== 204 && exchange.request.method !== 'HEAD') response.setHeader('Content-Length', 0)
  response.writeHead(status).end()
}

/** Answers with bytes; for HEAD only their length is sent. */
export function sendBytes(exchange: Exchange, status: number, bytes: Buffer, headers: Headers = {}): void {
  const { request, response } = exchange
  setHeaders(exchange, headers)
  response.setHeader('Content-Length', bytes.byteLength)
  response.writeHead(status).end(request.method === 'HEAD' ? undefined : bytes)
}

/** Answers with JSON. */
export function sendJson(exchange: Exchange, status: number, body: unknown, headers: Headers = {}): void {
  sendBytes(exchange, status, Buffer.from(JSON.stringify(body)), { 'Content-Type': 'application/json', ...headers })
}

/** Sets those header fields that have a value. */
export function setHeaders(exchange: Exchange, headers: Headers): void {
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) exchange.response.setHeader(name, value)
  }
}

/** Whether the client has this version already. */
export function isUnchanged(exchange: Exchange, etag: string): boolean {
  const header = exchange.request.headers['if-none-match']
  if (header === undefined) return false
  return header.split(',').some((each) => [etag, `W/${etag}`, '*'].includes(each.trim()))
}

/** Length of the body as announced; `undefined` where it comes in chunks. */
export function announcedLength(exchange: Exchange): number | undefined {
  const text = exchange.request.headers['content-length']
  if (text !== undefined) return Number(text)
  // A request with neither header has no body.
  return exchange.request.headers['transfer-encoding'] === undefined ? 0 : undefined
}

/**
 * The body of a request, piece by piece, each only when the one before was taken.
 *
 * @throws {RequestError} SIZE_INVALID with status 413, when there is more than `maxBytes`. The connection stays usable for
 *   the answer.
 */
export async function* receive(exchange: Exchange, maxBytes: number): AsyncGenerator<Buffer, void, undefined> {
  const { request, response } = exchange
  if ((announcedLength(exchange) ?? 0) > maxBytes) throw tooLarge(maxBytes)
  if (exchange.awaitsContinue) response.writeContinue()
  const watchdog = setTimeout(() => request.destroy(), exchange.idleTimeoutMs)
  let received = 0
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      received += (chunk as Buffer).byteLength
      if (received > maxBytes) throw tooLarge(maxBytes)
      yield chunk as Buffer
      watchdog.refresh()
    }
  } finally {
    clearTimeout(watchdog)
  }
  // An iterator of a stream that was destroyed without an error just ends.
  if (!request.complete) throw new RequestError('BLOB_UPLOAD_INVALID', 'the body was cut')
}

/** Reads a small body whole, in at most the idle time. */
export async function receiveAll(exchange: Exchange, maxBytes: number): Promise<Buffer> {
  const deadline = setTimeout(() => exchange.request.destroy(), exchange.idleTimeoutMs)
  try {
    const chunks: Buffer[] = []
    for await (const chunk of receive(exchange, maxBytes)) chunks.push(chunk)
    return Buffer.concat(chunks)
  } finally {
    clearTimeout(deadline)
  }
}

function tooLarge(maxBytes: number): RequestError {
  return new RequestError('SIZE_INVALID', `the body is larger than ${maxBytes} bytes`, { status: 413 })
}
