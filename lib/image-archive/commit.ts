// SPDX-License-Identifier: MIT
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type PackOptions, type PackResult, packLayer } from '../layer/pack-layer.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import type { ImageRuntimeConfig, Platform } from '../oci/image-config.ts'
import { isErrno } from '../store/atomic.ts'
import { hostError } from '../store/host-error.ts'
import { blobsOf, type StoredImage } from '../store/image-store.ts'
import type { LayerInfo } from '../store/layer-store.ts'
import { makePrivateDirectory } from '../store/private-files.ts'
import { removeTree } from '../store/remove-tree.ts'
import type { Store } from '../store/store.ts'
import { makeChildImage } from './child-image.ts'

/** What a new image has beyond its parent. */
export interface CommitOptions {
  /** The image below; absent for a first layer. It must be kept: one that the store's `get` gave. */
  readonly parent?: StoredImage | undefined
  /** Of an image without parent. */
  readonly platform: Platform
  /** The tree of the new layer; absent for a change of the configuration alone. */
  readonly layer?: CommitLayer | undefined
  /** Each field that is given stands for the parent's. */
  readonly config?: ImageRuntimeConfig | undefined
  readonly references: readonly string[]
  readonly created: Date
  /** What made the layer, for the history. */
  readonly createdBy?: string | undefined
  readonly author?: string | undefined
  readonly comment?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** A tree that becomes a layer. */
export interface CommitLayer extends Omit<PackOptions, 'signal' | 'whiteouts' | 'durable'> {
  /** An overlay's upper directory or a whole tree: its path, or an open descriptor, which stays the caller's. */
  readonly directory: string | number
  /**
   * Whether the directory, given by path, is the store's to take: it is then moved into place, where that can be done, and not
   * unpacked again. Nobody may use it any more, and what is left of it is the caller's to remove. @default false
   */
  readonly take?: boolean | undefined
}

/** A new image, and what its layer turned out to be. */
export interface CommitResult {
  readonly image: StoredImage
  readonly packed: PackResult | undefined
}

/**
 * Makes an image from another one and a layer, a configuration, or both. It is listed when all of it is there; a failure or an
 * abort leaves none of it.
 *
 * @throws {LayerError} for a tree that a layer cannot express. @throws {SyscallError}
 */
export async function commitImage(store: Store, options: CommitOptions): Promise<CommitResult> {
  const { layer, signal } = options
  const path = store.session.tmpPath('blob')
  try {
    signal?.throwIfAborted()
    if (layer === undefined) return { image: await addImage(store, options, undefined), packed: undefined }
    const { directory, take, ...packing } = layer
    const durable = take === true
    const packed = await packLayer(directory, path, { layer: 'a new layer', ...packing, durable, signal })
    return { image: await addImage(store, options, { ...layer, path, packed }), packed }
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : hostError('Making an image', error)
  } finally {
    await removeTree(path)
  }
}

type PackedLayer = CommitLayer & { path: string; packed: PackResult }

async function addImage(store: Store, options: CommitOptions, layer: PackedLayer | undefined): Promise<StoredImage> {
  const documents = makeChildImage(options, layer?.packed)
  const { parent, signal } = options
  const below = parent === undefined ? [] : [...blobsOf(parent), ...parent.config.rootfs.diff_ids]
  const own: Digest[] = layer === undefined ? [] : [layer.packed.digest, layer.packed.diffId]
  const digests = [...below, ...own, digestOf(documents.manifest), digestOf(documents.config)]
  return await store.keeping(digests, signal, async () => {
    if (layer !== undefined) {
      await addLayer(store, layer, signal)
      await store.blobs.adopt(layer.path, layer.packed.digest)
    }
    return await store.images.add({ ...documents, references: options.references })
  })
}

async function addLayer(store: Store, layer: PackedLayer, signal: AbortSignal | undefined): Promise<void> {
  const { digest, diffId } = layer.packed
  if (await store.layers.has(diffId)) return
  if (await moveLayer(store, layer)) return
  await store.layers.ensure(diffId, { source: layer.path, expectedDigest: digest, label: 'a new layer', signal })
}

/** Moves the tree itself into place, where it is what the archive says. @returns whether it did. */
async function moveLayer(store: Store, layer: PackedLayer): Promise<boolean> {
  const { directory, take, idMap, clampSeconds, packed } = layer
  const isSame = idMap === undefined && clampSeconds === undefined && packed.skipped === 0 && packed.shrunk.length === 0
  if (take !== true || typeof directory !== 'string' || !isSame) return false
  const dir = store.session.tmpPath('layer')
  await makePrivateDirectory(dir)
  try {
    await rename(directory, join(dir, 'fs'))
  } catch (error) {
    await store.layers.discard(dir)
    // On another file system; or an ordinary user's directory without permission to write.
    if (isErrno(error, 'EXDEV', 'EACCES', 'EBUSY')) return false
    throw error
  }
  await store.layers.publish(dir, infoOf(packed))
  return true
}

function infoOf({ digest, diffId, sizeBytes, unpackedBytes, entries }: PackResult): LayerInfo {
  return { diffId, digest, compressedBytes: sizeBytes, sizeBytes: unpackedBytes, entries }
}
