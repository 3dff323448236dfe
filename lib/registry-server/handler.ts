// SPDX-License-Identifier: MIT
import type { IncomingMessage, ServerResponse } from 'node:http'
import { deleteBlob, serveBlob } from './blob-endpoints.ts'
import { RequestError, toRequestError } from './errors.ts'
import { type Exchange, sendJson, setHeaders } from './exchange.ts'
import { serveCatalog, serveTags } from './listing.ts'
import { deleteManifest, serveManifest, storeManifest } from './manifest-endpoints.ts'
import type { RegistryServerAccess } from './options.ts'
import type { ServerParts } from './parts.ts'
import { serveReferrers } from './referrers.ts'
import { parseRoute, type Route } from './router.ts'
import { serveToken } from './token-endpoint.ts'
import { cancelUpload, continueUpload, finishUpload, serveUploadStatus, startUpload } from './upload-endpoints.ts'

/** What is read of a body that nobody wants, so that the client gets to see the answer. */
const kMaxDrainBytes = 8 * 1024 ** 2
const kMaxDrainMs = 10_000

/** What needs a right. */
type GuardedRoute = Exclude<Route, { kind: 'token' }>

/** Serves a request to its end. Never rejects: what goes wrong becomes an answer, or cuts the connection. */
export async function handleRequest(
  parts: ServerParts,
  request: IncomingMessage,
  response: ServerResponse,
  awaitsContinue: boolean,
): Promise<void> {
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  // A client that goes away is no failure.
  request.on('error', () => undefined)
  response.on('error', () => undefined)
  const { idleTimeoutMs } = parts.options
  let exchange: Exchange = {
    request,
    response,
    query: new URLSearchParams(),
    awaitsContinue,
    idleTimeoutMs,
    signal: gone.signal,
  }
  try {
    setHeaders(exchange, {
      'Docker-Distribution-API-Version': 'registry/2.0',
      'X-Content-Type-Options': 'nosniff',
    })
    const { route, query } = parseRoute(request.method ?? '', request.url ?? '')
    exchange = { ...exchange, query }
    await dispatch(parts, exchange, route)
  } catch (error) {
    answerError(parts, exchange, error)
  }
  await drain(request)
}

async function dispatch(parts: ServerParts, exchange: Exchange, route: Route): Promise<void> {
  if (route.kind === 'token') return serveToken(parts, exchange)
  const method = exchange.request.method ?? ''
  await parts.gate.check(exchange.request, accessOf(route, method))
  const reads = method === 'GET' || method === 'HEAD'
  if (!reads && parts.options.readOnly) throw new RequestError('UNSUPPORTED', 'the registry is read-only')
  if (!reads && parts.mirror !== undefined) {
    throw new RequestError('UNSUPPORTED', 'the registry is a cache of another one; push there')
  }
  return dispatchAllowed(parts, exchange, route)
}

async function dispatchAllowed(parts: ServerParts, exchange: Exchange, route: GuardedRoute): Promise<void> {
  const method = exchange.request.method ?? ''
  const reads = method === 'GET' || method === 'HEAD'
  switch (route.kind) {
    case 'ping':
      return sendJson(exchange, 200, {})
    case 'catalog':
      return serveCatalog(parts, exchange)
    case 'tags':
      return serveTags(parts, exchange, route.repository)
    case 'referrers':
      return serveReferrers(parts, exchange, route.repository, route.digest)
    case 'blob':
      if (reads) return serveBlob(parts, exchange, route.repository, route.digest)
      return deleteBlob(parts, exchange, route.repository, route.digest)
    case 'manifest':
      if (reads) return serveManifest(parts, exchange, route.repository, route.reference)
      if (method === 'PUT') return storeManifest(parts, exchange, route.repository, route.reference)
      return deleteManifest(parts, exchange, route.repository, route.reference)
    case 'uploads':
      return startUpload(parts, exchange, route.repository)
    case 'upload':
      return dispatchUpload(parts, exchange, method, route)
  }
}

async function dispatchUpload(
  parts: ServerParts,
  exchange: Exchange,
  method: string,
  { repository, id }: { repository: string; id: string },
): Promise<void> {
  const upload = await parts.uploads.find(repository, id)
  switch (method) {
    case 'PATCH':
      return continueUpload(parts, exchange, upload)
    case 'PUT':
      return finishUpload(parts, exchange, upload)
    case 'DELETE':
      return cancelUpload(exchange, upload)
    default:
      return serveUploadStatus(exchange, upload)
  }
}

function accessOf(route: GuardedRoute, method: string): RegistryServerAccess {
  if (route.kind === 'ping' || route.kind === 'catalog') return { repository: undefined, action: route.kind }
  const { repository } = route
  if (route.kind === 'uploads' || route.kind === 'upload' || method === 'PUT') return { repository, action: 'push' }
  return { repository, action: method === 'DELETE' ? 'delete' : 'pull' }
}

function answerError(parts: ServerParts, exchange: Exchange, thrown: unknown): void {
  const { response, signal } = exchange
  const error = toRequestError(thrown)
  if (!(thrown instanceof RequestError) && !signal.aborted) report(parts, thrown)
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  // Meant for the answer that did not come about.
  for (const name of ['Content-Length', 'ETag', 'Cache-Control', 'Docker-Content-Digest']) response.removeHeader(name)
  sendJson(exchange, error.status, error, error.headers)
}

function report(parts: ServerParts, error: unknown): void {
  try {
    parts.options.onError(error)
  } catch {
    // What the listener throws has nowhere to go, and must not end the process.
  }
}

/** Reads the rest of a body away, up to a limit: closing at once would take the answer from the client. */
async function drain(request: IncomingMessage): Promise<void> {
  const { socket } = request
  if (request.complete || request.destroyed || socket.destroyed) return
  await new Promise<void>((resolve) => {
    let bytes = 0
    const deadline = setTimeout(() => request.destroy(), kMaxDrainMs)
    const finish = () => {
      clearTimeout(deadline)
      socket.off('close', finish)
      resolve()
    }
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength
      if (bytes > kMaxDrainBytes) request.destroy()
    })
    // Whichever comes: Node forgets a request whose answer was sent, and tells it neither its end nor that of its socket.
    request.once('end', finish).once('close', finish)
    socket.once('close', finish)
    request.resume()
  })
}
