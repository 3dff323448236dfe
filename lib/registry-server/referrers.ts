// SPDX-License-Identifier: MIT
import * as v from 'valibot'
import { type Digest, digestAlgorithm, digestHex, isDigest } from '../oci/digest.ts'
import { kMediaType } from '../oci/image-config.ts'
import { type Exchange, sendJson } from './exchange.ts'
import { linkHeader } from './listing.ts'
import { parseManifestContent } from './manifest-content.ts'
import { findManifest } from './manifest-endpoints.ts'
import { describeReferrer, type ReferrerDescriptor } from './manifests.ts'
import type { ServerParts } from './parts.ts'

/** An answer must stay below what clients read of a manifest. */
const kMaxPageBytes = 3 * 1024 ** 2

const indexSchema = v.object({
  manifests: v.array(v.object({ digest: v.custom<Digest>((value) => typeof value === 'string' && isDigest(value)) })),
})

/**
 * Sends the manifests that have a subject: signatures, attestations and the like.
 *
 * @source https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers
 */
export async function serveReferrers(
  parts: ServerParts,
  exchange: Exchange,
  repository: string,
  subject: Digest,
): Promise<void> {
  const { query } = exchange
  const artifactType = query.get('artifactType')
  const all = await collectReferrers(parts, repository, subject)
  const wanted = artifactType === null ? all : all.filter((each) => each.artifactType === artifactType)
  const last = query.get('last')
  const { page, more } = cutByBytes(last === null ? wanted : wanted.filter(({ digest }) => digest > last))
  const next = new URLSearchParams({
    ...(artifactType === null ? {} : { artifactType }),
    last: page.at(-1)?.digest ?? '',
  })
  sendJson(
    exchange,
    200,
    { schemaVersion: 2, mediaType: kMediaType.index, manifests: page },
    {
      'Content-Type': kMediaType.index,
      'OCI-Filters-Applied': artifactType === null ? undefined : 'artifactType',
      ...linkHeader(`/v2/${repository}/referrers/${subject}`, more ? next.toString() : undefined),
    },
  )
}

/** Referrers in the order of their digests. */
async function collectReferrers(
  parts: ServerParts,
  repository: string,
  subject: Digest,
): Promise<ReferrerDescriptor[]> {
  const found = new Map<Digest, ReferrerDescriptor>()
  for (const entry of (await parts.mirror?.referrers(repository, subject)) ?? []) found.set(entry.digest, entry)
  for (const entry of await parts.manifests.referrers(repository, subject)) {
    if (await parts.manifests.has(repository, entry.digest)) found.set(entry.digest, entry)
  }
  for (const entry of await taggedReferrers(parts, repository, subject)) found.set(entry.digest, entry)
  return [...found.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1))
}

/**
 * Referrers that a client keeps in an index under the tag `sha256-<hex>`, as it must where a registry has no list of its
 * own. They are listed as well when they came here by a copy of that index.
 */
async function taggedReferrers(parts: ServerParts, repository: string, subject: Digest): Promise<ReferrerDescriptor[]> {
  const tag = `${digestAlgorithm(subject)}-${digestHex(subject)}`.slice(0, 128)
  const index = await findManifest(parts, repository, { tag })
  const parsed = index && v.safeParse(indexSchema, JSON.parse(index.bytes.toString()))
  if (parsed?.success !== true) return []
  const found: ReferrerDescriptor[] = []
  for (const { digest } of parsed.output.manifests) {
    const stored = await parts.manifests.get(repository, digest)
    if (stored === undefined) continue
    const content = parseManifestContent(stored.bytes, stored.mediaType)
    // An index under such a tag may be anything; only what names the subject refers to it.
    if (content.subject === subject) found.push(describeReferrer(digest, stored.bytes.byteLength, content))
  }
  return found
}

function cutByBytes(entries: ReferrerDescriptor[]): { page: ReferrerDescriptor[]; more: boolean } {
  let bytes = 0
  const page: ReferrerDescriptor[] = []
  for (const entry of entries) {
    bytes += Buffer.byteLength(JSON.stringify(entry)) + 1
    if (bytes > kMaxPageBytes && page.length > 0) break
    page.push(entry)
  }
  return { page, more: page.length < entries.length }
}
