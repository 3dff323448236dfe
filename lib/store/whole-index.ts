// SPDX-License-Identifier: MIT
import { NotFoundError } from '../errors.ts'
import type { Digest } from '../oci/digest.ts'
import {
  type Descriptor,
  isIndexMediaType,
  isManifestMediaType,
  kMaxIndexDepth,
  kMaxManifestBytes,
  kMediaType,
  parseIndex,
  parseManifest,
} from '../oci/image-config.ts'
import type { BlobStore } from './blob-store.ts'

/** A manifest or index, byte for byte. */
export interface StoredDocument {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Buffer
}

/**
 * Reads an index and every manifest and index below it.
 *
 * @param hint - what to do where the store lacks one.
 * @returns each once, those below before what names them, the index itself last.
 * @throws {NotFoundError} @throws {LayerError}
 */
export async function readWholeIndex(blobs: BlobStore, index: Digest, hint: string): Promise<StoredDocument[]> {
  const documents: StoredDocument[] = []
  await collect({ blobs, hint, documents }, index, kMediaType.index, 0)
  return documents
}

async function collect(
  parts: { readonly blobs: BlobStore; readonly hint: string; readonly documents: StoredDocument[] },
  digest: Digest,
  mediaType: string,
  depth: number,
): Promise<void> {
  const { documents } = parts
  if (documents.some((document) => document.digest === digest) || depth > kMaxIndexDepth) return
  const bytes = await read(parts.blobs, digest, parts.hint)
  if (isIndexMediaType(mediaType)) {
    const index = parseIndex(bytes, digest)
    for (const child of index.manifests) await collect(parts, child.digest, child.mediaType, depth + 1)
    documents.push({ digest, bytes, mediaType: index.mediaType ?? mediaType })
  } else {
    documents.push({ digest, bytes, mediaType: isManifestMediaType(mediaType) ? mediaType : kMediaType.manifest })
  }
}

async function read(blobs: BlobStore, digest: Digest, hint: string): Promise<Buffer> {
  try {
    return await blobs.read(digest, kMaxManifestBytes)
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    throw new NotFoundError(`Manifest ${digest} of another platform is not in the store.`, hint, error)
  }
}

/** Configurations and layers of manifests, each once, in the order of the manifests. */
export function blobsOfManifests(documents: readonly StoredDocument[]): Descriptor[] {
  const blobs = new Map<Digest, Descriptor>()
  for (const { bytes, digest, mediaType } of documents) {
    if (isIndexMediaType(mediaType)) continue
    const { config, layers } = parseManifest(bytes, digest)
    for (const blob of [config, ...layers]) blobs.set(blob.digest, blob)
  }
  return [...blobs.values()]
}
