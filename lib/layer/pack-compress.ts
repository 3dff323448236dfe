// SPDX-License-Identifier: MIT
import type { Transform } from 'node:stream'
import zlib from 'node:zlib'
import { UnsupportedHostError } from '../errors.ts'
import type { Compression } from './compression.ts'
import { BlockGzip } from './pack-gzip.ts'

/** Takes the bytes of a blob, in order. */
export interface BlobOutput {
  /** The chunk may be used again once it is settled. */
  write(chunk: Buffer): Promise<void>
}

/** Packs an archive's chunks into a blob. */
export interface Compressor {
  /** Room for the next chunk. */
  buffer(bytes: number): Buffer
  /** Takes a chunk; it is the compressor's afterwards. */
  write(chunk: Buffer): Promise<void>
  /** Says that there is no more; settles when all is written. */
  end(): Promise<void>
}

/** How well and how slowly; each as the tool of that name does by itself. */
const kDefaultLevel = { gzip: 6, zstd: 3, none: 0 } as const

/** @throws {UnsupportedHostError} for zstd with an old Node. */
export function newCompressor(compression: Compression, level: number | undefined, output: BlobOutput): Compressor {
  const chosen = level ?? kDefaultLevel[compression]
  if (compression === 'none') return new PlainCopy(output)
  if (compression === 'gzip') return new BlockGzip(output, chosen)
  checkCompression(compression)
  return new ZstdStream(output, chosen)
}

/** @throws {UnsupportedHostError} for zstd with an old Node. */
export function checkCompression(compression: Compression): void {
  if (compression !== 'zstd' || zstdOf(zlib).createZstdCompress !== undefined) return
  const hint = `use Node 22.15 or later, or compression 'gzip'`
  throw new UnsupportedHostError('zstd compression', `node:zlib of Node ${process.version} has none`, hint)
}

/** Not in the types of the oldest Node that is supported. */
function zstdOf(module: object): {
  createZstdCompress?: (options: object) => Transform
  constants: Record<string, number>
} {
  return module as ReturnType<typeof zstdOf>
}

class PlainCopy implements Compressor {
  readonly #output: BlobOutput
  #buffer: Buffer | undefined

  constructor(output: BlobOutput) {
    this.#output = output
  }

  buffer(bytes: number): Buffer {
    this.#buffer ??= Buffer.allocUnsafeSlow(bytes)
    return this.#buffer
  }

  write(chunk: Buffer): Promise<void> {
    return this.#output.write(chunk)
  }

  async end(): Promise<void> {}
}

class ZstdStream implements Compressor {
  readonly #output: BlobOutput
  readonly #stream: Transform
  readonly #done: Promise<void>

  constructor(output: BlobOutput, level: number) {
    this.#output = output
    const { createZstdCompress, constants } = zstdOf(zlib)
    const params = { [constants.ZSTD_c_compressionLevel ?? 100]: level }
    this.#stream = (createZstdCompress as (options: object) => Transform)({ params })
    this.#done = this.#pump()
    this.#done.catch((error: Error) => this.#stream.destroy(error))
  }

  buffer(bytes: number): Buffer {
    return Buffer.allocUnsafeSlow(bytes)
  }

  async write(chunk: Buffer): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(chunk, (error) => (error ? reject(error) : resolve()))
    })
  }

  async end(): Promise<void> {
    this.#stream.end()
    await this.#done
  }

  async #pump(): Promise<void> {
    for await (const chunk of this.#stream as AsyncIterable<Buffer>) await this.#output.write(chunk)
  }
}
