// SPDX-License-Identifier: MIT
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { IntegrityError } from '../errors.ts'
import { type Digest, digestAlgorithm, finishDigest } from '../oci/digest.ts'
import { remove } from './storage.ts'

const kReadBytes = 256 * 1024

/**
 * A blob on its way from upstream into a file, read by any number of clients while it comes. It goes on until it is complete,
 * fails, or nobody reads it any more.
 */
export class Download {
  readonly size: number
  readonly #path: string
  readonly #digest: Digest
  readonly #abort = new AbortController()
  /** Resolves when the blob is in the store, and rejects when it never will be. */
  readonly done: Promise<void>
  #written = 0
  #complete = false
  #failure: unknown
  #readers = 0
  readonly #wake: (() => void)[] = []

  constructor(parts: {
    path: string
    digest: Digest
    size: number
    fetch: (signal: AbortSignal) => AsyncIterable<Uint8Array>
    /** Takes the verified file over; clients read it by a descriptor, so it may be moved. */
    keep: (path: string) => Promise<void>
  }) {
    this.size = parts.size
    this.#path = parts.path
    this.#digest = parts.digest
    this.done = this.#run(parts.fetch, parts.keep)
    // Readers see the failure; when there is none, nobody needs to know.
    this.done.catch(() => undefined)
  }

  /**
   * The blob's bytes from `start` to `end`, inclusive.
   *
   * The last byte of what there is comes only after verification, so that no client takes a forged blob for complete.
   */
  async *read(start: number, end: number): AsyncGenerator<Buffer, void, undefined> {
    this.#readers++
    let file: FileHandle | undefined
    try {
      for (let position = start; position <= end; ) {
        const available = await this.#available(position)
        file ??= await open(this.#path, 'r')
        const length = Math.min(kReadBytes, available - position, end + 1 - position)
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, position)
        if (bytesRead === 0) throw new Error('the file of a download ended early')
        position += bytesRead
        yield buffer.subarray(0, bytesRead)
      }
    } finally {
      await file?.close()
      this.#readers--
      if (this.#readers === 0) this.#abort.abort()
    }
  }

  /** Ends it, whoever reads. */
  cancel(): void {
    this.#abort.abort()
  }

  /** Waits for bytes after `position`. @returns up to where there are some. */
  async #available(position: number): Promise<number> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure
      const available = this.#complete ? this.size : this.#written - 1
      if (available > position) return available
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  async #run(
    fetch: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
    keep: (path: string) => Promise<void>,
  ): Promise<void> {
    try {
      const file = await open(this.#path, 'wx', 0o644)
      try {
        await this.#receive(file, fetch(this.#abort.signal))
        await file.sync()
      } finally {
        await file.close()
      }
      await keep(this.#path)
      this.#complete = true
    } catch (error) {
      this.#failure = error ?? new Error('the download failed')
      await remove(this.#path)
      throw error
    } finally {
      this.#notify()
    }
  }

  async #receive(file: FileHandle, body: AsyncIterable<Uint8Array>): Promise<void> {
    const algorithm = digestAlgorithm(this.#digest)
    const hash = createHash(algorithm)
    for await (const chunk of body) {
      this.#abort.signal.throwIfAborted()
      if (this.#written + chunk.byteLength > this.size) {
        throw new IntegrityError(`Size of blob ${this.#digest}`, `${this.size} bytes`, 'more')
      }
      hash.update(chunk)
      await file.appendFile(chunk)
      this.#written += chunk.byteLength
      this.#notify()
    }
    const actual = finishDigest(hash, algorithm)
    if (actual !== this.#digest) throw new IntegrityError(`Blob ${this.#digest}`, this.#digest, actual)
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
