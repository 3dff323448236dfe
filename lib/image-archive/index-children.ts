// SPDX-License-Identifier: MIT
import type { Digest } from '../oci/digest.ts'
import { type Descriptor, kMaxManifestBytes, parseIndex } from '../oci/image-config.ts'
import { type IndexReader, parseIndexed, walkIndex } from '../oci/walk-index.ts'
import type { ArchiveFile, ArchiveFiles } from './archive-files.ts'
import { blobName, findBlob, readBlob } from './image-source.ts'

/** A blob of an archive that the store shall keep beside an image. */
export interface BlobSource {
  readonly digest: Digest
  readonly file: ArchiveFile
}

/**
 * Lists all blobs below an index, for all platforms: manifests, configurations and layers. A manifest that is not in the archive is
 * left out, as registries allow; one that is there must have everything that it names.
 *
 * @throws {LayerError} @throws {IntegrityError}
 */
export async function blobsBelow(files: ArchiveFiles, index: Uint8Array, what: string): Promise<BlobSource[]> {
  const found = new Map<Digest, BlobSource>()
  const reader: IndexReader = {
    read: async (child) => {
      if ((await files.find(blobName(child.digest))) === undefined) return undefined
      return parseIndexed(child, await readBlob(files, child, kMaxManifestBytes), child.digest)
    },
  }
  for await (const { descriptor, manifest } of walkIndex(parseIndex(index, what), what, reader)) {
    await add(files, descriptor, found)
    if (manifest === undefined) continue
    for (const blob of [manifest.config, ...manifest.layers]) await add(files, blob, found)
  }
  return [...found.values()]
}

async function add(files: ArchiveFiles, descriptor: Descriptor, found: Map<Digest, BlobSource>): Promise<void> {
  const { digest } = descriptor
  found.set(digest, { digest, file: await findBlob(files, descriptor) })
}
