// SPDX-License-Identifier: MIT
import { type Digest, type DigestAlgorithm, digestAlgorithm } from '../oci/digest.ts'
import { RequestError } from './errors.ts'
import { announcedLength, type Exchange, receive, sendEmpty } from './exchange.ts'
import type { ServerParts } from './parts.ts'
import { parseContentRange } from './range.ts'
import { checkDigest, checkRepository } from './router.ts'
import type { Upload } from './upload.ts'

/** POST: takes a blob over from another repository, takes one whole, or begins an upload. */
export async function startUpload(parts: ServerParts, exchange: Exchange, repository: string): Promise<void> {
  const mounted = exchange.query.get('mount')
  if (mounted !== null && (await mount(parts, exchange, repository, checkDigest(mounted)))) {
    return sendCreated(exchange, repository, checkDigest(mounted))
  }
  const wanted = exchange.query.get('digest')
  if (wanted !== null) return takeWhole(parts, exchange, repository, checkDigest(wanted))
  const algorithm = exchange.query.get('digest-algorithm')
  if (algorithm !== null && algorithm !== 'sha256' && algorithm !== 'sha512') {
    throw new RequestError('DIGEST_INVALID', 'the digest algorithm must be sha256 or sha512')
  }
  const upload = await parts.uploads.start(repository)
  upload.algorithm = algorithm ?? 'sha256'
  sendProgress(exchange, 202, upload, 0)
}

/** GET: says how far an upload is. */
export async function serveUploadStatus(exchange: Exchange, upload: Upload): Promise<void> {
  sendProgress(exchange, 204, upload, await upload.size())
}

/** PATCH: adds bytes to an upload. */
export async function continueUpload(parts: ServerParts, exchange: Exchange, upload: Upload): Promise<void> {
  const size = await upload.exclusively(
    () => exchange.request.destroy(),
    async () => {
      await appendBody(parts, exchange, upload, upload.algorithm)
      return upload.size()
    },
  )
  sendProgress(exchange, 202, upload, size)
}

/** PUT: adds the last bytes, if any, and ends an upload. */
export async function finishUpload(parts: ServerParts, exchange: Exchange, upload: Upload): Promise<void> {
  const digest = checkDigest(exchange.query.get('digest') ?? '')
  await upload.exclusively(
    () => exchange.request.destroy(),
    async () => {
      await appendBody(parts, exchange, upload, digestAlgorithm(digest))
      await upload.finish(digest)
    },
  )
  sendCreated(exchange, upload.repository, digest)
}

/** DELETE: drops an upload. */
export async function cancelUpload(exchange: Exchange, upload: Upload): Promise<void> {
  await upload.exclusively(
    () => undefined,
    () => upload.discard(),
  )
  sendEmpty(exchange, 204)
}

async function mount(parts: ServerParts, exchange: Exchange, repository: string, digest: Digest): Promise<boolean> {
  const from = exchange.query.get('from')
  // Without a source only what is here already can be had: that another repository has it is nobody's business.
  if (from === null) return parts.blobs.touch(repository, digest)
  checkRepository(from)
  const allowed = await parts.gate.allows(exchange.request, { repository: from, action: 'pull' })
  return allowed && parts.blobs.mount(from, repository, digest)
}

async function takeWhole(parts: ServerParts, exchange: Exchange, repository: string, digest: Digest): Promise<void> {
  const upload = await parts.uploads.start(repository)
  try {
    await upload.exclusively(
      () => undefined,
      async () => {
        await appendBody(parts, exchange, upload, digestAlgorithm(digest))
        await upload.finish(digest)
      },
    )
  } catch (error) {
    // The client never learnt its address, so nobody can go on with it.
    await upload.discard()
    throw error
  }
  sendCreated(exchange, repository, digest)
}

/** Adds a request's body to an upload. A body of the wrong length leaves the upload as it was. */
async function appendBody(
  { options }: ServerParts,
  exchange: Exchange,
  upload: Upload,
  algorithm: DigestAlgorithm,
): Promise<void> {
  const start = await upload.size()
  const expected = checkContentRange(exchange, upload, start)
  if (announcedLength(exchange) === 0) return
  const maxBytes = Math.min(expected ?? Number.POSITIVE_INFINITY, options.maxBlobBytes - start)
  try {
    await upload.append(receive(exchange, maxBytes), algorithm)
  } catch (error) {
    if (error instanceof RequestError && error.code === 'SIZE_INVALID') await upload.truncate(start)
    throw error
  }
  if (expected !== undefined && (await upload.size()) !== start + expected) {
    await upload.truncate(start)
    throw wrongLength()
  }
}

/** @returns the length of the chunk by its `Content-Range`; `undefined` where the request has none. */
function checkContentRange(exchange: Exchange, upload: Upload, size: number): number | undefined {
  const header = exchange.request.headers['content-range']
  if (header === undefined) return undefined
  const range = parseContentRange(header)
  if (range === undefined) {
    throw new RequestError('BLOB_UPLOAD_INVALID', 'Content-Range must be <first byte>-<last byte>')
  }
  if (range.start !== size) {
    throw new RequestError('BLOB_UPLOAD_INVALID', `the next chunk must begin at ${size}`, {
      status: 416,
      headers: progressHeaders(upload, size),
    })
  }
  const length = range.end - range.start + 1
  const announced = announcedLength(exchange)
  if (announced !== undefined && announced !== length) throw wrongLength()
  return length
}

function wrongLength(): RequestError {
  return new RequestError('SIZE_INVALID', 'the length of the body is not that of its Content-Range')
}

function sendProgress(exchange: Exchange, status: number, upload: Upload, size: number): void {
  sendEmpty(exchange, status, progressHeaders(upload, size))
}

function progressHeaders(upload: Upload, size: number): Record<string, string> {
  return {
    Location: `/v2/${upload.repository}/blobs/uploads/${upload.id}`,
    'Docker-Upload-UUID': upload.id,
    // The header has no way to say "nothing"; clients know this form from docker-registry.
    Range: `0-${Math.max(size - 1, 0)}`,
  }
}

function sendCreated(exchange: Exchange, repository: string, digest: Digest): void {
  sendEmpty(exchange, 201, { Location: `/v2/${repository}/blobs/${digest}`, 'Docker-Content-Digest': digest })
}
