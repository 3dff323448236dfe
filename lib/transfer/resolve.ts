// SPDX-License-Identifier: MIT
import type { Repository } from '../distribution/repository.ts'
import { IntegrityError, LayerError, PlatformError, UnsupportedImageError } from '../errors.ts'
import { type Digest, verifyDigest } from '../oci/digest.ts'
import {
  type Descriptor,
  type ImageConfig,
  type ImageManifest,
  isIndexMediaType,
  isManifestMediaType,
  kMaxConfigBytes,
  kMaxIndexDepth,
  kMaxManifestBytes,
  type Platform,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from '../oci/image-config.ts'
import { formatPlatform, selectPlatform } from '../oci/platform.ts'
import type { Reference } from '../oci/reference.ts'
import type { BlobStore } from '../store/blob-store.ts'
import { checkImageManifest, shown } from './check-manifest.ts'

/** An image manifest as a registry has it, verified and checked. */
export interface ResolvedManifest {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Buffer
  readonly manifest: ImageManifest
  /** What it was chosen from, where the reference names an index. */
  readonly index: { readonly digest: Digest; readonly bytes: Buffer } | undefined
}

/** Which manifest to look for. */
export interface ResolveOptions {
  readonly reference: Reference
  readonly platform: Platform
  readonly signal: AbortSignal
}

/**
 * Finds the image manifest that a reference names, through indexes to the wanted platform.
 *
 * @throws {PlatformError} naming what there is. @throws {UnsupportedImageError} @throws {LayerError} @throws {IntegrityError}
 */
export async function resolveManifest(repository: Repository, options: ResolveOptions): Promise<ResolvedManifest> {
  const { reference } = options
  return resolveAt(repository, reference.digest ?? reference.tag ?? 'latest', undefined, { ...options, depth: 0 })
}

async function resolveAt(
  repository: Repository,
  at: string,
  descriptor: Descriptor | undefined,
  options: ResolveOptions & { depth: number },
): Promise<ResolvedManifest> {
  const { reference, platform, signal, depth } = options
  const image = reference.toString()
  const answer = await repository.manifest(at, { maxBytes: kMaxManifestBytes, signal })
  const { bytes } = answer
  const digest = descriptor?.digest ?? reference.digest ?? answer.digest
  verifyDigest(digest, bytes, `The manifest of ${image}`)
  if (descriptor !== undefined && descriptor.size !== bytes.length) {
    throw new IntegrityError(`The size of manifest ${digest}`, String(descriptor.size), String(bytes.length))
  }
  const { mediaType } = answer
  if (isManifestMediaType(mediaType)) {
    const manifest = parseManifest(bytes, image)
    checkImageManifest(image, manifest)
    return { digest, mediaType, bytes, manifest, index: undefined }
  }
  if (!isIndexMediaType(mediaType)) throw new UnsupportedImageError(image, `a manifest of type ${shown(mediaType)}`)
  if (depth >= kMaxIndexDepth) throw new LayerError(image, undefined, 'its indexes are nested too deep')
  const chosen = chooseManifest(image, parseIndex(bytes, image).manifests, platform)
  const resolved = await resolveAt(repository, chosen.digest, chosen, { ...options, depth: depth + 1 })
  // The outermost one is what the reference names.
  return { ...resolved, index: { digest, bytes } }
}

/** Picks the entry of an index for a platform. @throws {PlatformError} */
function chooseManifest(image: string, entries: readonly Descriptor[], platform: Platform): Descriptor {
  const images = entries.filter(isImage)
  const only = images.length === 1 && images[0]?.platform === undefined ? images[0] : undefined
  const nested = images.find((entry) => entry.platform === undefined && isIndexMediaType(entry.mediaType))
  const chosen = only ?? selectPlatform(images, platform) ?? nested
  if (chosen !== undefined) return chosen
  const available = images.flatMap((entry) => (entry.platform === undefined ? [] : [formatPlatform(entry.platform)]))
  throw new PlatformError(image, formatPlatform(platform), [...new Set(available)])
}

// Build tools put attestations beside the images, with a platform of "unknown".
function isImage({ platform, annotations, mediaType }: Descriptor): boolean {
  if (platform?.os === 'unknown' || annotations?.['vnd.docker.reference.type'] !== undefined) return false
  return mediaType === '' || isIndexMediaType(mediaType) || isManifestMediaType(mediaType)
}

/** Reads the configuration of an image: from the store where it is there already. Its blob must be kept. */
export async function fetchConfig(
  repository: Repository,
  blobs: BlobStore,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<{ bytes: Buffer; config: ImageConfig }> {
  const { digest, size } = descriptor
  if (size > kMaxConfigBytes) {
    const reason = `is said to be ${size} bytes long; at most ${kMaxConfigBytes} are read`
    throw new LayerError(`image configuration ${digest}`, undefined, reason)
  }
  const isThere = (await blobs.size(digest)) !== undefined
  const bytes = isThere
    ? await blobs.read(digest, kMaxConfigBytes)
    : await repository.smallBlob(descriptor, kMaxConfigBytes, { signal })
  verifyDigest(digest, bytes, `The image configuration`)
  return { bytes, config: parseImageConfig(bytes, `image configuration ${digest}`) }
}
