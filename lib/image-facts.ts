// SPDX-License-Identifier: MIT
import type { Digest } from './oci/digest.ts'
import type { ImageConfig, ImageRuntimeConfig, Platform } from './oci/image-config.ts'
import type { StoredImage } from './store/image-store.ts'

/** One layer of an image, as {@link Image.layers} lists it. */
export interface ImageLayer {
  /** Digest of the blob. */
  readonly digest: Digest
  /** Digest of the uncompressed tar. */
  readonly diffId: Digest
  readonly mediaType: string
  /** Size of the blob. */
  readonly sizeBytes: number
}

/** One step of an image's making. */
export interface ImageHistoryEntry {
  readonly created: string | undefined
  readonly createdBy: string | undefined
  readonly comment: string | undefined
  /** The layer that the step made, `undefined` where it changed the configuration only. */
  readonly layer: ImageLayer | undefined
}

/** Everything known of an image, as plain data. */
export interface ImageInspection {
  readonly id: string
  readonly digest: Digest | undefined
  readonly tags: readonly string[]
  readonly sizeBytes: number
  readonly created: string | undefined
  readonly platform: Platform
  readonly config: ImageRuntimeConfig
  readonly layers: readonly ImageLayer[]
  readonly history: readonly ImageHistoryEntry[]
}

/** An image's layers, oldest first. */
export function layersOf({ manifest, config }: StoredImage): ImageLayer[] {
  return config.rootfs.diff_ids.flatMap((diffId, position) => {
    const blob = manifest.layers[position]
    return blob === undefined ? [] : [{ digest: blob.digest, diffId, mediaType: blob.mediaType, sizeBytes: blob.size }]
  })
}

/** What an image says it is for. */
export function platformOf({ os, architecture, variant }: ImageConfig): Platform {
  return { os, architecture, ...(variant === undefined ? {} : { variant }) }
}
