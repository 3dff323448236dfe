// SPDX-License-Identifier: MIT
import zlib from 'node:zlib'
import { LayerError } from '../errors.ts'
import { kChunkBytes } from './chunk-ring.ts'
import { ZstdDecoder } from './zstd.ts'

export type Compression = 'none' | 'gzip' | 'zstd'

/** Tells the compression from the first bytes of a stream; at least four, unless there are no more. */
export function detectCompression(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip'
  const isZstd = head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd && head[0] === 0x28
  // A skippable frame, 0x184d2a50 to …5f, may come first; zstd:chunked has them.
  const isSkippable = head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18 && ((head[0] ?? 0) & 0xf0) === 0x50
  return isZstd || isSkippable ? 'zstd' : 'none'
}

/**
 * Decompresses `source`, which is always read to its end.
 *
 * @throws {LayerError} when the stream is damaged or truncated.
 */
export async function* decompress(
  source: AsyncIterable<Buffer>,
  compression: Compression,
  layer: string,
): AsyncGenerator<Buffer> {
  if (compression === 'none') yield* source
  else if (compression === 'gzip') yield* gunzip(source, layer)
  else yield* unzstd(source, layer)
}

/** Inflates on a thread of libuv's pool, some chunks ahead of the consumer. Members one after the other are one stream. */
async function* gunzip(source: AsyncIterable<Buffer>, layer: string): AsyncGenerator<Buffer> {
  // A stream's option too, which the types do not know.
  const options: zlib.ZlibOptions & { highWaterMark: number } = {
    chunkSize: kChunkBytes,
    highWaterMark: 4 * kChunkBytes,
  }
  const inflater = zlib.createGunzip(options)
  let failure: unknown
  let ended = false
  let wake = (): void => {}
  for (const event of ['drain', 'end', 'close', 'error']) {
    inflater.on(event, () => {
      ended ||= event !== 'drain'
      wake()
    })
  }
  const feeding = (async () => {
    try {
      for await (const chunk of source) {
        // After trailing garbage the rest is only read, so that its digest is known.
        if (ended || inflater.write(chunk)) continue
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      if (!ended) inflater.end()
    } catch (error) {
      failure ??= error
      inflater.destroy()
    }
  })()
  try {
    yield* inflater as AsyncIterable<Buffer>
  } catch (error) {
    failure ??= new LayerError(layer, undefined, 'its gzip stream is damaged or truncated', { cause: error })
  } finally {
    inflater.destroy()
    await feeding
  }
  if (failure !== undefined) throw failure
}

async function* unzstd(source: AsyncIterable<Buffer>, layer: string): AsyncGenerator<Buffer> {
  const decoder = new ZstdDecoder()
  const decode = (work: () => void): Buffer[] => {
    try {
      work()
    } catch (error) {
      throw new LayerError(layer, undefined, 'its zstd stream is damaged, truncated or needs too much memory', {
        cause: error,
      })
    }
    return decoder.take()
  }
  for await (const chunk of source) yield* decode(() => decoder.push(chunk))
  yield* decode(() => decoder.end())
}
