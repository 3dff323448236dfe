// SPDX-License-Identifier: MIT
import { LayerError, UnsupportedImageError } from '../errors.ts'
import type { Digest } from '../oci/digest.ts'
import { type Descriptor, type ImageConfig, type ImageManifest, kMediaType } from '../oci/image-config.ts'

/** A blob to be brought into the store. */
export interface BlobPlan {
  readonly descriptor: Descriptor
  /** Of a layer that is to be unpacked. */
  readonly diffId: Digest | undefined
}

const kForeign = /foreign|nondistributable/
const kLayerTypes: ReadonlySet<string> = new Set([
  kMediaType.layerTar,
  kMediaType.layerGzip,
  kMediaType.layerZstd,
  kMediaType.dockerLayerGzip,
  'application/vnd.docker.image.rootfs.diff.tar',
  'application/vnd.docker.image.rootfs.diff.tar.zstd',
])

/**
 * Checks that a manifest is that of an image whose layers can be had from the registry.
 *
 * @throws {UnsupportedImageError}
 */
export function checkImageManifest(image: string, manifest: ImageManifest): void {
  const { config, artifactType, layers } = manifest
  if (config.mediaType !== kMediaType.config && config.mediaType !== kMediaType.dockerConfig) {
    const mediaType = artifactType ?? config.mediaType
    throw new UnsupportedImageError(image, `the contents of an artifact of type ${shown(mediaType)}, no image`)
  }
  for (const layer of layers) checkLayerType(image, layer)
}

function checkLayerType(image: string, { mediaType, digest }: Descriptor): void {
  if (kLayerTypes.has(mediaType)) return
  if (mediaType.endsWith('+encrypted')) {
    const hint = 'decrypt it with skopeo copy --decryption-key'
    throw new UnsupportedImageError(image, `an encrypted layer, ${digest}`, hint)
  }
  if (kForeign.test(mediaType)) {
    const feature = `a foreign layer, ${digest}, which registries may not distribute`
    throw new UnsupportedImageError(image, feature)
  }
  throw new UnsupportedImageError(image, `a layer of type ${shown(mediaType)}, ${digest}`)
}

/** Pairs the layers with the diff ids of the configuration, each pair once. @throws {LayerError} when their numbers differ. */
export function planLayers(image: string, manifest: ImageManifest, config: ImageConfig): BlobPlan[] {
  const diffIds = config.rootfs.diff_ids
  if (diffIds.length !== manifest.layers.length) {
    const reason = `it has ${manifest.layers.length} layers, but its configuration names ${diffIds.length}`
    throw new LayerError(image, undefined, reason)
  }
  const plans = new Map<string, BlobPlan>()
  for (const [position, descriptor] of manifest.layers.entries()) {
    const diffId = diffIds[position]
    if (diffId !== undefined) plans.set(`${descriptor.digest} ${diffId}`, { descriptor, diffId })
  }
  return [...plans.values()]
}

/** Text from a registry for a message: bounded, one line. */
export function shown(mediaType: string): string {
  return JSON.stringify(mediaType.slice(0, 200))
}
