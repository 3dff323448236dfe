// SPDX-License-Identifier: MIT
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts'
import { RequestError } from './errors.ts'
import { type Exchange, isUnchanged, receiveAll, sendBytes, sendEmpty } from './exchange.ts'
import { type ManifestContent, parseManifestContent } from './manifest-content.ts'
import type { StoredManifest } from './manifests.ts'
import type { ServerParts } from './parts.ts'

type ManifestReference = Digest | { tag: string }

/** Sends a manifest: GET and HEAD. */
export async function serveManifest(
  parts: ServerParts,
  exchange: Exchange,
  repository: string,
  reference: ManifestReference,
): Promise<void> {
  const found = await (parts.mirror?.manifest(repository, reference) ?? findManifest(parts, repository, reference))
  if (found === undefined) throw await manifestUnknown(parts, repository, reference)
  const { digest, mediaType, bytes } = found
  const etag = `"${digest}"`
  const headers = { 'Docker-Content-Digest': digest, ETag: etag, 'Content-Type': mediaType }
  if (isUnchanged(exchange, etag)) exchange.response.writeHead(304, headers).end()
  else sendBytes(exchange, 200, bytes, headers)
}

/** Looks a manifest up among those that are here. */
export async function findManifest(
  { manifests }: Pick<ServerParts, 'manifests'>,
  repository: string,
  reference: ManifestReference,
): Promise<StoredManifest | undefined> {
  const digest = typeof reference === 'string' ? reference : await manifests.resolve(repository, reference.tag)
  return digest === undefined ? undefined : manifests.get(repository, digest)
}

/** PUT: stores a manifest, under a tag or by its digest. */
export async function storeManifest(
  parts: ServerParts,
  exchange: Exchange,
  repository: string,
  reference: ManifestReference,
): Promise<void> {
  const bytes = await receiveAll(exchange, parts.options.maxManifestBytes)
  const digest = digestOf(bytes, typeof reference === 'string' ? digestAlgorithm(reference) : 'sha256')
  if (typeof reference === 'string' && digest !== reference) {
    const detail = { expected: reference, actual: digest }
    throw new RequestError('DIGEST_INVALID', 'the manifest does not have the digest that was given', { detail })
  }
  const content = parseManifestContent(bytes, exchange.request.headers['content-type'])
  await parts.locks.run(repository, async () => {
    await checkReferences(parts, repository, content)
    await parts.manifests.put(repository, digest, bytes, content)
    if (typeof reference !== 'string') await parts.manifests.setTag(repository, reference.tag, digest)
  })
  sendEmpty(exchange, 201, {
    Location: `/v2/${repository}/manifests/${digest}`,
    'Docker-Content-Digest': digest,
    'OCI-Subject': content.subject,
  })
}

/** DELETE: removes a manifest with its tags, or a tag alone. */
export async function deleteManifest(
  parts: ServerParts,
  exchange: Exchange,
  repository: string,
  reference: ManifestReference,
): Promise<void> {
  const { manifests, locks } = parts
  const removed = await locks.run(repository, async () => {
    if (typeof reference !== 'string') return manifests.removeTag(repository, reference.tag)
    const stored = await manifests.get(repository, reference)
    const subject = stored && parseManifestContent(stored.bytes, stored.mediaType).subject
    return manifests.remove(repository, reference, subject)
  })
  if (!removed) throw await manifestUnknown(parts, repository, reference)
  sendEmpty(exchange, 202)
}

/** What an image is made of must be in the repository; foreign layers and the subject need not. */
async function checkReferences(
  { blobs, manifests }: ServerParts,
  repository: string,
  content: ManifestContent,
): Promise<void> {
  const missing: Digest[] = []
  for (const { digest } of content.blobs) {
    // This also keeps them from being collected until the manifest is there.
    if (!(await blobs.touch(repository, digest))) missing.push(digest)
  }
  for (const { digest } of content.children) {
    if (!(await manifests.has(repository, digest)) && !(await blobs.touch(repository, digest))) missing.push(digest)
  }
  if (missing.length === 0) return
  const detail = missing.slice(0, 100).map((digest) => ({ digest }))
  throw new RequestError('MANIFEST_BLOB_UNKNOWN', 'the repository lacks what the manifest refers to', { detail })
}

async function manifestUnknown(
  { manifests, mirror }: ServerParts,
  repository: string,
  reference: ManifestReference,
): Promise<RequestError> {
  if (mirror === undefined && !(await manifests.knows(repository))) return repositoryUnknown(repository)
  const detail = typeof reference === 'string' ? { digest: reference } : { tag: reference.tag }
  return new RequestError('MANIFEST_UNKNOWN', 'the repository does not have this manifest', { detail })
}

/** The error for a repository that nothing was pushed to. */
export function repositoryUnknown(name: string): RequestError {
  return new RequestError('NAME_UNKNOWN', 'there is no such repository', { detail: { name } })
}
