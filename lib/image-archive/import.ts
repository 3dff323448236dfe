import { constants } from 'node:fs'
import { copyFile, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { NotFoundError } from '../errors.ts'
import { digestOf } from '../oci/digest.ts'
import { type ImageRuntimeConfig, kMediaType, layerMediaType, type Platform } from '../oci/image-config.ts'
import { isErrno } from '../store/atomic.ts'
import { hostError } from '../store/host-error.ts'
import type { StoredImage } from '../store/image-store.ts'
import type { LayerInfo } from '../store/layer-store.ts'
import { openPrivateFile } from '../store/private-files.ts'
import { removeTree } from '../store/remove-tree.ts'
import type { Store } from '../store/store.ts'
import { firstBytes } from './archive-files.ts'

/** What an imported image is made of, besides the tar. */
export interface ImportOptions {
  readonly platform: Platform
  readonly config: ImageRuntimeConfig
  readonly references: readonly string[]
  readonly created: Date
  readonly comment?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onBytes?: ((bytes: number) => void) | undefined
}

/**
 * Makes an image with one layer from the tar (plain, gzip or zstd) of a root file system.
 *
 * @throws {LayerError} naming the entry. @throws {NotFoundError} when there is no such file.
 */
export async function importRootfs(
  store: Store,
  source: string | Readable,
  options: ImportOptions,
): Promise<StoredImage> {
  const { signal } = options
  signal?.throwIfAborted()
  const path = store.session.tmpPath('blob')
  let dir: string | undefined
  try {
    await copyIn(source, path, options)
    const mediaType = layerMediaType(await firstBytes(path, 4))
    const label = typeof source === 'string' ? source : 'stream'
    const layer = await store.layers.unpack({ source: path, label, signal })
    dir = layer.dir
    return await addImage(store, { path, dir, info: layer.info, mediaType }, options)
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : hostError('Importing an image', error)
  } finally {
    await removeTree(path)
    if (dir !== undefined) await store.layers.discard(dir)
  }
}

async function copyIn(source: string | Readable, path: string, options: ImportOptions): Promise<void> {
  const { signal, onBytes } = options
  if (typeof source !== 'string') {
    const count = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks) {
        onBytes?.(chunk.byteLength)
        yield chunk
      }
    }
    const target = (await openPrivateFile(path, constants.O_WRONLY | constants.O_EXCL)).createWriteStream()
    return pipeline(source, count, target, signal === undefined ? {} : { signal }).catch((error: unknown) => {
      throw signal?.aborted === true ? signal.reason : error
    })
  }
  try {
    await copyFile(source, path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
    onBytes?.((await stat(path)).size)
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR'))
      throw new NotFoundError(`Root file system ${source} does not exist.`, undefined, error)
    throw error
  }
}

async function addImage(
  store: Store,
  layer: { path: string; dir: string; info: LayerInfo; mediaType: string },
  options: ImportOptions,
): Promise<StoredImage> {
  const { info } = layer
  const documents = makeDocuments(layer, options)
  const digests = [info.digest, info.diffId, digestOf(documents.manifest), digestOf(documents.config)]
  return await store.keeping(digests, options.signal, async () => {
    await store.layers.publish(layer.dir, info)
    await store.blobs.adopt(layer.path, info.digest)
    return await store.images.add({ ...documents, references: options.references })
  })
}

function makeDocuments(
  layer: { info: LayerInfo; mediaType: string },
  options: ImportOptions,
): { manifest: Buffer; mediaType: string; config: Buffer } {
  const { info, mediaType } = layer
  const created = options.created.toISOString()
  const comment = options.comment ?? 'imported root file system'
  const config = {
    created,
    ...options.platform,
    config: options.config,
    rootfs: { type: 'layers', diff_ids: [info.diffId] },
    history: [{ created, created_by: 'wherry import', comment }],
  }
  const configBytes = Buffer.from(JSON.stringify(config))
  const manifest = {
    schemaVersion: 2,
    mediaType: kMediaType.manifest,
    config: { mediaType: kMediaType.config, digest: digestOf(configBytes), size: configBytes.byteLength },
    layers: [{ mediaType, digest: info.digest, size: info.compressedBytes }],
  }
  return { manifest: Buffer.from(JSON.stringify(manifest)), mediaType: kMediaType.manifest, config: configBytes }
}
