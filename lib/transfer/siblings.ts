// SPDX-License-Identifier: MIT
import type { Repository } from '../distribution/repository.ts'
import { LayerError } from '../errors.ts'
import { type Digest, verifyDigest } from '../oci/digest.ts'
import {
  type Descriptor,
  isIndexMediaType,
  kMaxIndexDepth,
  kMaxManifestBytes,
  parseIndex,
  parseManifest,
} from '../oci/image-config.ts'
import type { Store } from '../store/store.ts'

const kMaxManifests = 1_000

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
 * @throws {LayerError} when there are too many. @throws {IntegrityError} @throws {RegistryError}
 */
export async function bringManifests(index: Uint8Array, options: SiblingOptions): Promise<Descriptor[]> {
  const blobs = new Map<Digest, Descriptor>()
  const seen = new Set<Digest>()
  const visit = async (bytes: Uint8Array, depth: number): Promise<void> => {
    const children = parseIndex(bytes, options.image).manifests.filter(({ digest }) => !seen.has(digest))
    for (const { digest } of children) seen.add(digest)
    if (depth > kMaxIndexDepth || seen.size > kMaxManifests) {
      throw new LayerError(
        options.image,
        undefined,
        `its index names more than ${kMaxManifests} manifests, or too deep`,
      )
    }
    await options.keep(children.map((child) => child.digest))
    for (const child of children) {
      const document = await bringManifest(child, options)
      if (isIndexMediaType(child.mediaType)) {
        await visit(document, depth + 1)
        continue
      }
      const { config, layers } = parseManifest(document, `${options.image}, manifest ${child.digest}`)
      for (const blob of [config, ...layers]) blobs.set(blob.digest, blob)
    }
  }
  await visit(index, 1)
  await options.keep([...blobs.keys()])
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
