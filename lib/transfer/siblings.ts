// SPDX-License-Identifier: MIT
import type { Repository } from '../distribution/repository.ts'
import { type Digest, verifyDigest } from '../oci/digest.ts'
import { type Descriptor, kMaxManifestBytes, parseIndex } from '../oci/image-config.ts'
import { type IndexReader, parseIndexed, walkIndex } from '../oci/walk-index.ts'
import type { Store } from '../store/store.ts'

/** What fetching all that an index names needs. */
export interface SiblingOptions {
  readonly store: Store
  readonly repository: Repository
  /** Names the image in errors. */
  readonly image: string
  readonly signal: AbortSignal
  /** Keeps content before it comes into the store. */
  readonly keep: (digests: readonly Digest[]) => Promise<void>
}

/**
 * Brings all manifests that an index names into the store: images for other platforms, attestations, further indexes.
 *
 * @returns the blobs that they name, each once, which are kept and still to be brought.
 * @throws {LayerError} as {@link walkIndex} does. @throws {IntegrityError} @throws {RegistryError}
 */
export async function bringManifests(index: Uint8Array, options: SiblingOptions): Promise<Descriptor[]> {
  const { image, keep } = options
  const blobs = new Map<Digest, Descriptor>()
  const reader: IndexReader = {
    expect: (children) => keep(children.map(({ digest }) => digest)),
    read: async (child) =>
      parseIndexed(child, await bringManifest(child, options), `${image}, manifest ${child.digest}`),
  }
  for await (const { manifest } of walkIndex(parseIndex(index, image), image, reader)) {
    if (manifest === undefined) continue
    for (const blob of [manifest.config, ...manifest.layers]) blobs.set(blob.digest, blob)
  }
  await keep([...blobs.keys()])
  return [...blobs.values()]
}

async function bringManifest({ digest }: Descriptor, options: SiblingOptions): Promise<Buffer> {
  const { store, repository, signal } = options
  if ((await store.blobs.size(digest)) !== undefined) return store.blobs.read(digest, kMaxManifestBytes)
  const { bytes } = await repository.manifest(digest, { maxBytes: kMaxManifestBytes, signal })
  verifyDigest(digest, bytes, `Manifest ${digest} of ${options.image}`)
  await store.blobs.write(bytes, digest)
  return bytes
}
