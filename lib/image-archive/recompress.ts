// SPDX-License-Identifier: MIT
import { createHash } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { PassThrough, type Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import zlib from 'node:zlib'
import { IntegrityError, UnsupportedHostError } from '../errors.ts'
import { decompress, detectCompression } from '../layer/compression.ts'
import { type Digest, digestAlgorithm, finishDigest } from '../oci/digest.ts'
import { type Descriptor, kMediaType } from '../oci/image-config.ts'
import { openPrivateFile } from '../store/private-files.ts'
import { firstBytes } from './archive-files.ts'

/** How the tar of a layer is packed. */
export type LayerCompression = 'gzip' | 'zstd' | 'none'

/** Media types of layers, by compression. */
export const kLayerType = { gzip: kMediaType.layerGzip, zstd: kMediaType.layerZstd, none: kMediaType.layerTar } as const

/** Tells how a blob is compressed, from its first bytes. */
export async function compressionOf(path: string): Promise<LayerCompression> {
  return detectCompression(await firstBytes(path, 4))
}

/**
 * Packs a layer's blob another way, into a new file, in constant memory. The same blob gives the same bytes with the same Node.
 *
 * @throws {IntegrityError} when the blob does not hold the layer. @throws {UnsupportedHostError} for zstd with an old Node.
 */
export async function recompress(options: {
  source: string
  target: string
  diffId: Digest
  compression: LayerCompression
  signal: AbortSignal | undefined
}): Promise<Descriptor> {
  const { source, target, diffId, compression, signal } = options
  const from = await compressionOf(source)
  const [inner, outer] = [createHash(digestAlgorithm(diffId)), createHash('sha256')]
  let size = 0
  const plain = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of decompress(createReadStream(source, { highWaterMark: 1024 * 1024 }), from, diffId)) {
      inner.update(chunk)
      yield chunk
    }
  }
  const count = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      outer.update(chunk)
      size += chunk.byteLength
      yield chunk
    }
  }
  const pack = compressor(compression)
  const file = (await openPrivateFile(target, constants.O_WRONLY | constants.O_EXCL)).createWriteStream()
  await pipeline(plain, pack, count, file, signal === undefined ? {} : { signal })
  const actual = finishDigest(inner, digestAlgorithm(diffId))
  if (actual !== diffId) throw new IntegrityError(`Layer ${diffId}`, diffId, actual)
  return { mediaType: kLayerType[compression], digest: finishDigest(outer), size }
}

function compressor(compression: LayerCompression): Transform {
  if (compression === 'none') return new PassThrough()
  if (compression === 'gzip') return zlib.createGzip()
  // Not in the types of the oldest Node that is supported.
  const { createZstdCompress } = zlib as { createZstdCompress?: () => Transform }
  if (createZstdCompress !== undefined) return createZstdCompress()
  const hint = `use Node 22.15 or later, or compression 'gzip'`
  throw new UnsupportedHostError('zstd compression', `node:zlib of Node ${process.version} has none`, hint)
}
