import { withLinkedSignal } from '../async/linked-signal.ts'
import { IntegrityError, TimeoutError, UnsupportedImageError } from '../errors.ts'
import { type Digest, digestAlgorithm, digestOf, isDigest } from '../oci/digest.ts'
import { isIndexMediaType, isManifestMediaType, kMaxManifestBytes, kMediaType } from '../oci/image-config.ts'
import { type Purpose, protocolError } from './answer-error.ts'
import { readBody } from './body.ts'
import type { Endpoint } from './endpoint.ts'
import { longPatienceMs } from './patience.ts'
import type { Answer } from './redirects.ts'

/** Media types that are asked for unless the caller says otherwise. */
export const kManifestTypes: readonly string[] = [
  kMediaType.manifest,
  kMediaType.index,
  kMediaType.dockerManifest,
  kMediaType.dockerIndex,
]

/** A manifest or index as the registry keeps it. */
export interface RemoteManifest {
  readonly bytes: Buffer
  readonly mediaType: string
  /** Of `bytes`; in the algorithm of the reference where that is a digest. */
  readonly digest: Digest
}

/** What a registry says of a manifest without sending it. */
export interface ManifestHead {
  readonly digest: Digest
  readonly mediaType: string
  readonly sizeBytes: number
}

/** Which manifest, and how it is asked for. */
export interface ManifestRequest {
  readonly purpose: Purpose
  readonly repository: string
  /** Tag or digest. */
  readonly reference: string
  readonly scopes: readonly string[]
  readonly accept?: readonly string[] | undefined
  readonly maxBytes?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Gets a manifest once and verifies it. */
export async function getManifest(endpoint: Endpoint, request: ManifestRequest): Promise<RemoteManifest> {
  // Small, but a registry that drips it could make it last for ever.
  const timeoutMs = longPatienceMs(endpoint.stallTimeoutMs)
  const deadline = AbortSignal.timeout(timeoutMs)
  const stopping = new AbortController()
  try {
    return await withLinkedSignal(request.signal, stopping, () =>
      withLinkedSignal(deadline, stopping, () => receiveManifest(endpoint, request, stopping.signal)),
    )
  } catch (error) {
    if (!deadline.aborted || request.signal?.aborted === true) throw error
    throw new TimeoutError(`Getting manifest ${request.reference} of ${request.repository}`, timeoutMs)
  }
}

async function receiveManifest(
  endpoint: Endpoint,
  request: ManifestRequest,
  signal: AbortSignal,
): Promise<RemoteManifest> {
  const { purpose, maxBytes = kMaxManifestBytes } = request
  const target = manifestTarget(endpoint, request)
  const answer = await endpoint.request({ ...target, method: 'GET', expected: [200], signal })
  const bytes = await readBody(purpose, answer, maxBytes)
  const digest = verifyManifest(request, answer, bytes)
  return { bytes, digest, mediaType: mediaTypeOf(request, answer, bytes) }
}

/** Asks for a manifest's headers once. @returns `undefined` where it does not exist, `'unknown'` where they do not say enough. */
export async function headManifest(
  endpoint: Endpoint,
  request: ManifestRequest,
): Promise<ManifestHead | 'unknown' | undefined> {
  const expected = [200, 404, 405, 501]
  const target = manifestTarget(endpoint, request)
  const answer = await endpoint.request({ ...target, method: 'HEAD', expected, signal: request.signal })
  answer.body.resume()
  if (answer.status === 404) return undefined
  const digest = answer.headers['docker-content-digest']
  const sizeBytes = Number(answer.headers['content-length'] ?? Number.NaN)
  const mediaType = contentType(answer)
  if (answer.status !== 200 || typeof digest !== 'string' || !isDigest(digest)) return 'unknown'
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || mediaType === '') return 'unknown'
  if (isDigest(request.reference) && digestAlgorithm(digest) === digestAlgorithm(request.reference)) {
    checkEqual(request, request.reference, digest)
  }
  return { digest, mediaType, sizeBytes }
}

function manifestTarget(
  endpoint: Endpoint,
  request: ManifestRequest,
): { purpose: Purpose; target: string; scopes: readonly string[]; headers: Record<string, string> } {
  const { purpose, repository, reference, scopes, accept = kManifestTypes } = request
  const target = `${endpoint.pathOf(repository)}/manifests/${reference}`
  return { purpose, target, scopes, headers: { accept: accept.join(', ') } }
}

function verifyManifest(request: ManifestRequest, answer: Answer, bytes: Buffer): Digest {
  const announced = answer.headers['docker-content-digest']
  if (isDigest(request.reference)) {
    const digest = digestOf(bytes, digestAlgorithm(request.reference))
    checkEqual(request, request.reference, digest)
    return digest
  }
  if (typeof announced !== 'string' || !isDigest(announced)) return digestOf(bytes)
  const digest = digestOf(bytes, digestAlgorithm(announced))
  checkEqual(request, announced, digest)
  return digest
}

function checkEqual(request: ManifestRequest, expected: Digest, actual: Digest): void {
  if (expected !== actual)
    throw new IntegrityError(`Manifest ${request.reference} of ${request.repository}`, expected, actual)
}

/**
 * The media type: what the document says of itself, since the digest covers that, then what the registry says, then what it looks
 * like. A document that could be read as an image and as an index is refused.
 */
function mediaTypeOf(request: ManifestRequest, answer: Answer, bytes: Buffer): string {
  const document = parseDocument(request, answer, bytes)
  const announced = contentType(answer)
  const said = typeof document.mediaType === 'string' ? document.mediaType : announced
  if (document.schemaVersion === 1 || /\.distribution\.manifest\.v1\+/.test(said)) {
    const hint = 'push the image again with a tool of this decade; registries have dropped that format'
    throw new UnsupportedImageError(`${request.repository}:${request.reference}`, 'a manifest of Docker schema 1', hint)
  }
  const [hasList, hasImage] = [
    document.manifests !== undefined,
    document.layers !== undefined || document.config !== undefined,
  ]
  if (hasList && hasImage) {
    throw protocolError(
      request.purpose,
      answer.method,
      answer.url,
      'sent a document that is an image and an index at once',
    )
  }
  if (typeof document.mediaType === 'string' || isIndexMediaType(announced) || isManifestMediaType(announced))
    return said
  if (hasList) return kMediaType.index
  return hasImage ? kMediaType.manifest : announced
}

function parseDocument(request: ManifestRequest, answer: Answer, bytes: Buffer): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(bytes.toString('utf8'))
    if (typeof document === 'object' && document !== null && !Array.isArray(document))
      return document as Record<string, unknown>
  } catch {
    // The error below says it.
  }
  throw protocolError(request.purpose, answer.method, answer.url, 'did not answer with a manifest in JSON')
}

function contentType(answer: Answer): string {
  const value = answer.headers['content-type']
  return typeof value === 'string' ? (value.split(';')[0] ?? '').trim().toLowerCase() : ''
}
