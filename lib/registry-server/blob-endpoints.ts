// SPDX-License-Identifier: MIT
import type { FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Digest } from '../oci/digest.ts'
import { RequestError } from './errors.ts'
import { type Exchange, isUnchanged, sendEmpty, setHeaders } from './exchange.ts'
import type { ServerParts } from './parts.ts'
import { type ByteRange, parseRange } from './range.ts'

const kReadBytes = 256 * 1024

/** Sends a blob or a part of it: GET and HEAD. */
export async function serveBlob(
  { blobs, mirror }: ServerParts,
  exchange: Exchange,
  repository: string,
  digest: Digest,
): Promise<void> {
  // A client that sees a blob here relies on it for the manifest that it pushes next.
  const isThere = exchange.request.method !== 'HEAD' || (await blobs.touch(repository, digest))
  const opened = isThere ? await blobs.open(repository, digest) : undefined
  if (opened === undefined) {
    if (mirror === undefined) throw blobUnknown(digest)
    return mirror.serveBlob(exchange, repository, digest)
  }
  try {
    const range = startBlobAnswer(exchange, digest, opened.size)
    if (range !== undefined) await sendStream(exchange, readFrom(opened.file, range))
  } finally {
    await opened.file.close()
  }
}

/** Takes a blob away from a repository. */
export async function deleteBlob(
  { blobs }: ServerParts,
  exchange: Exchange,
  repository: string,
  digest: Digest,
): Promise<void> {
  if (!(await blobs.remove(repository, digest))) throw blobUnknown(digest)
  sendEmpty(exchange, 202)
}

/**
 * Sends the head of an answer with a blob.
 *
 * @returns the bytes that must follow; `undefined` where the answer is complete already.
 */
export function startBlobAnswer(exchange: Exchange, digest: Digest, size: number): ByteRange | undefined {
  const { request, response } = exchange
  const etag = `"${digest}"`
  setHeaders(exchange, { 'Docker-Content-Digest': digest, ETag: etag, 'Accept-Ranges': 'bytes' })
  // A digest never stands for other bytes.
  response.setHeader('Cache-Control', 'private, max-age=31536000, immutable')
  if (isUnchanged(exchange, etag)) {
    response.writeHead(304).end()
    return undefined
  }
  const range = parseRange(request.headers.range, size)
  if (range === 'unsatisfiable') {
    const headers = { 'Content-Range': `bytes */${size}` }
    throw new RequestError('SIZE_INVALID', 'the blob does not have these bytes', { status: 416, headers })
  }
  const { start, end } = range ?? { start: 0, end: size - 1 }
  const length = end - start + 1
  setHeaders(exchange, { 'Content-Type': 'application/octet-stream', 'Content-Length': length })
  if (range !== undefined) response.setHeader('Content-Range', `bytes ${start}-${end}/${size}`)
  response.writeHead(range === undefined ? 200 : 206)
  if (request.method !== 'HEAD' && length > 0) return { start, end }
  response.end()
  return undefined
}

/** Sends a body as fast as the client takes it, and cuts the connection when it takes none. */
export async function sendStream({ response, idleTimeoutMs }: Exchange, source: Readable): Promise<void> {
  const watchdog = setTimeout(() => response.destroy(), idleTimeoutMs)
  source.on('data', () => watchdog.refresh())
  // The listener must not make it flow before the pipeline is there to hold it back.
  source.pause()
  try {
    await pipeline(source, response)
  } finally {
    clearTimeout(watchdog)
  }
}

function readFrom(file: FileHandle, range: ByteRange): Readable {
  return file.createReadStream({ ...range, highWaterMark: kReadBytes, autoClose: false })
}

/** The error for a blob that a repository does not have. */
export function blobUnknown(digest: Digest): RequestError {
  return new RequestError('BLOB_UNKNOWN', 'the repository does not have this blob', { detail: { digest } })
}
