// SPDX-License-Identifier: MIT
import type { Digest } from '../oci/digest.ts'
import {
  type Descriptor,
  isIndexMediaType,
  kMaxIndexDepth,
  kMaxManifestBytes,
  parseIndex,
  parseManifest,
} from '../oci/image-config.ts'
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
  await collect(files, index, what, found, 0)
  return [...found.values()]
}

async function collect(
  files: ArchiveFiles,
  index: Uint8Array,
  what: string,
  found: Map<Digest, BlobSource>,
  depth: number,
): Promise<void> {
  for (const child of parseIndex(index, what).manifests) {
    if (found.has(child.digest) || (await files.find(blobName(child.digest))) === undefined) continue
    const bytes = await readBlob(files, child, kMaxManifestBytes)
    await add(files, child, found)
    if (isIndexMediaType(child.mediaType)) {
      if (depth < kMaxIndexDepth) await collect(files, bytes, child.digest, found, depth + 1)
      continue
    }
    const { config, layers } = parseManifest(bytes, child.digest)
    for (const descriptor of [config, ...layers]) await add(files, descriptor, found)
  }
}

async function add(files: ArchiveFiles, descriptor: Descriptor, found: Map<Digest, BlobSource>): Promise<void> {
  const { digest } = descriptor
  found.set(digest, { digest, file: await findBlob(files, descriptor) })
}
