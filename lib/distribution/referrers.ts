import { LayerError, NotFoundError } from '../errors.ts'
import { type Digest, digestAlgorithm, digestHex, isDigest } from '../oci/digest.ts'
import { type Descriptor, isIndexMediaType, kMaxManifestBytes, kMediaType, parseIndex } from '../oci/image-config.ts'
import { type Purpose, protocolError } from './answer-error.ts'
import type { Endpoint } from './endpoint.ts'
import { pages } from './paging.ts'
import type { Repository } from './repository.ts'

const kMaxReferrers = 100_000

/** Which referrers, and how they are asked for. */
export interface ReferrersRequest {
  readonly purpose: Purpose
  readonly target: string
  readonly scopes: readonly string[]
  readonly digest: Digest
  readonly artifactType?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** Lists referrers by the API, or by the tag that stands in for it on registries that lack it. */
export async function listReferrers(
  endpoint: Endpoint,
  repository: Repository,
  request: ReferrersRequest,
): Promise<Descriptor[]> {
  const { artifactType } = request
  const all = (await fromApi(endpoint, request)) ?? (await fromTag(repository, request.digest, request.signal))
  // Registries may leave the filter to the client.
  return artifactType === undefined ? all : all.filter((each) => each.artifactType === artifactType)
}

async function fromApi(endpoint: Endpoint, request: ReferrersRequest): Promise<Descriptor[] | undefined> {
  const { purpose, artifactType, signal, scopes } = request
  const query = artifactType === undefined ? '' : `?${new URLSearchParams({ artifactType })}`
  const headers = { accept: kMediaType.index }
  const found: Descriptor[] = []
  try {
    const paged = { purpose, target: `${request.target}${query}`, scopes, headers, signal }
    for await (const page of pages(endpoint, paged, kMaxManifestBytes)) {
      const type =
        String(page.headers['content-type'] ?? '')
          .split(';')[0]
          ?.trim() ?? ''
      // Something else that answers to the path is no referrers API.
      if (!isIndexMediaType(type)) return undefined
      try {
        found.push(...parseIndex(page.bytes, 'the list of referrers').manifests)
      } catch (cause) {
        if (!(cause instanceof LayerError)) throw cause
        throw protocolError(
          purpose,
          'GET',
          page.url,
          `did not answer with a list of referrers (${cause.message})`,
          cause,
        )
      }
      if (found.length > kMaxReferrers)
        throw protocolError(purpose, 'GET', page.url, `lists more than ${kMaxReferrers} referrers`)
    }
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
  return found
}

async function fromTag(
  repository: Repository,
  subject: Digest,
  signal: AbortSignal | undefined,
): Promise<Descriptor[]> {
  try {
    const { bytes, mediaType } = await repository.manifest(referrersTag(subject), { signal, direct: true })
    return isIndexMediaType(mediaType) ? parseIndex(bytes, `the referrers of ${subject}`).manifests : []
  } catch (error) {
    if (error instanceof NotFoundError) return []
    throw error
  }
}

/** @source https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema */
function referrersTag(subject: Digest): string {
  return `${digestAlgorithm(subject)}-${digestHex(subject)}`.slice(0, 128)
}

/** Enters a manifest that was just pushed into the referrers tag of its subject, if it has one. */
export async function updateReferrersTag(
  repository: Repository,
  manifest: { readonly bytes: Uint8Array; readonly mediaType: string; readonly digest: Digest },
  signal: AbortSignal | undefined,
): Promise<void> {
  const document = parseOwn(manifest.bytes)
  const subject = document?.subject?.digest
  if (document === undefined || typeof subject !== 'string' || !isDigest(subject)) return
  const known = await fromTag(repository, subject, signal)
  if (known.some(({ digest }) => digest === manifest.digest)) return
  const { annotations, artifactType = document.config?.mediaType } = document
  const entry = {
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    size: manifest.bytes.byteLength,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
  const index = { schemaVersion: 2, mediaType: kMediaType.index, manifests: [...known, entry] }
  await repository.pushManifest(referrersTag(subject), Buffer.from(JSON.stringify(index)), kMediaType.index, { signal })
}

interface OwnManifest {
  readonly subject?: { readonly digest?: unknown }
  readonly artifactType?: string
  readonly config?: { readonly mediaType?: string }
  readonly annotations?: Record<string, string>
}

/** The caller's own document; anything may be pushed, so anything may be in it. */
function parseOwn(bytes: Uint8Array): OwnManifest | undefined {
  try {
    return (JSON.parse(Buffer.from(bytes).toString('utf8')) as OwnManifest | null) ?? undefined
  } catch {
    return undefined
  }
}
