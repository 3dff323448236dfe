// SPDX-License-Identifier: MIT
import zlib from 'node:zlib'
import type { BlobOutput, Compressor } from './pack-compress.ts'
import { Crc32 } from './pack-crc32.ts'

/** No name, no time, no statement about the level or the system that made it: RFC 1952, section 2.3. */
const kHeader = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
/** A last block of no bytes. */
const kLastBlock = Buffer.from([3, 0])
const kWindowBytes = 32 * 1024
const kOutputBytes = 256 * 1024
/** At work at one time: half of libuv's pool, whose other half is for the embedding program. */
const kMaxJobs = 2

interface Job {
  chunk: Buffer
  done: Promise<Buffer>
}

/**
 * Makes a gzip stream of one member, several chunks at a time on threads of libuv's pool. Each chunk is deflated by itself,
 * with the end of the one before as its dictionary, and flushed to a whole byte: put together they are one stream, whose
 * bytes depend on the chunks only, not on how many were at work.
 */
export class BlockGzip implements Compressor {
  readonly #output: BlobOutput
  readonly #level: number
  readonly #crc = new Crc32()
  readonly #jobs: Job[] = []
  readonly #free: Buffer[] = []
  #dictionary: Buffer | undefined
  #bytes = 0
  #isStarted = false

  constructor(output: BlobOutput, level: number) {
    this.#output = output
    this.#level = level
  }

  buffer(bytes: number): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(bytes)
  }

  async write(chunk: Buffer): Promise<void> {
    const job = { chunk, done: this.#deflate(chunk) }
    // Heard when its turn comes; until then a failure must not count as unhandled.
    job.done.catch(() => undefined)
    this.#jobs.push(job)
    // While it is at work.
    this.#crc.update(chunk)
    this.#bytes += chunk.length
    this.#dictionary = Buffer.from(chunk.subarray(Math.max(0, chunk.length - kWindowBytes)))
    while (this.#jobs.length >= kMaxJobs) await this.#takeOldest()
  }

  async end(): Promise<void> {
    while (this.#jobs.length > 0) await this.#takeOldest()
    await this.#start()
    const trailer = Buffer.alloc(8)
    trailer.writeUInt32LE(this.#crc.value, 0)
    trailer.writeUInt32LE(this.#bytes % 2 ** 32, 4)
    await this.#output.write(Buffer.concat([kLastBlock, trailer]))
  }

  async #takeOldest(): Promise<void> {
    const { chunk, done } = this.#jobs[0] as Job
    const deflated = await done
    this.#jobs.shift()
    await this.#start()
    await this.#output.write(deflated)
    this.#free.push(Buffer.from(chunk.buffer))
  }

  async #start(): Promise<void> {
    if (!this.#isStarted) await this.#output.write(kHeader)
    this.#isStarted = true
  }

  #deflate(chunk: Buffer): Promise<Buffer> {
    const options: zlib.ZlibOptions = {
      level: this.#level,
      finishFlush: zlib.constants.Z_SYNC_FLUSH,
      chunkSize: kOutputBytes,
      ...(this.#dictionary === undefined ? {} : { dictionary: this.#dictionary }),
    }
    return new Promise((resolve, reject) => {
      zlib.deflateRaw(chunk, options, (error, bytes) => {
        if (error === null) resolve(bytes)
        else reject(error)
      })
    })
  }
}
