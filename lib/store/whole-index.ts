// SPDX-License-Identifier: MIT
import { NotFoundError } from '../errors.ts'
import type { Digest } from '../oci/digest.ts'
import {
  type Descriptor,
  isIndexMediaType,
  isManifestMediaType,
  kMaxManifestBytes,
  kMediaType,
  parseIndex,
  parseManifest,
} from '../oci/image-config.ts'
import { type IndexedDocument, type IndexReader, parseIndexed, walkIndex } from '../oci/walk-index.ts'
import type { BlobStore } from './blob-store.ts'

/** A manifest or index, byte for byte. */
export interface StoredDocument {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Uint8Array
}

/**
 * Reads an index and every manifest and index below it.
 *
 * @param hint - what to do where the store lacks one.
 * @returns each once, those below before what names them, the index itself last.
 * @throws {NotFoundError} @throws {LayerError}
 */
export async function readWholeIndex(blobs: BlobStore, index: Digest, hint: string): Promise<StoredDocument[]> {
  const bytes = await read(blobs, index, hint)
  const root = parseIndex(bytes, index)
  const documents: StoredDocument[] = []
  const reader: IndexReader = {
    read: async (child) => parseIndexed(child, await read(blobs, child.digest, hint), child.digest),
  }
  for await (const each of walkIndex(root, index, reader)) {
    documents.push({ digest: each.descriptor.digest, mediaType: typeOf(each), bytes: each.bytes })
  }
  documents.push({ digest: index, bytes, mediaType: root.mediaType ?? kMediaType.index })
  return documents
}

/** What an index says of itself comes before what others say of it. */
function typeOf({ descriptor: { mediaType }, index }: IndexedDocument): string {
  if (index !== undefined) return index.mediaType ?? mediaType
  return isManifestMediaType(mediaType) ? mediaType : kMediaType.manifest
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
