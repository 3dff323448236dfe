// SPDX-License-Identifier: MIT
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { IntegrityError } from '../errors.ts'
import { type Digest, digestAlgorithm, finishDigest } from '../oci/digest.ts'
import { unlinkIfThere, writeAll } from '../store/files.ts'

const kReadBytes = 256 * 1024

/**
 * A blob on its way from upstream into a file, read by any number of clients while it comes. It goes on until it is complete,
 * fails, or nobody wants it any more.
 */
export class Download {
  readonly size: number
  /** Resolves when the blob is in the store, and rejects when it never will be. */
  readonly done: Promise<void>
  readonly #path: string
  readonly #digest: Digest
  readonly #abort = new AbortController()
  readonly #wake: (() => void)[] = []
  #file: FileHandle | undefined
  #written = 0
  #readers = 0
  #state: 'running' | 'complete' | 'failed' = 'running'
  #failure: unknown

  constructor(parts: {
    path: string
    digest: Digest
    size: number
    fetch: (signal: AbortSignal) => AsyncIterable<Uint8Array>
    /** Takes the verified file over; clients go on reading it by its descriptor. */
    keep: (path: string) => Promise<void>
  }) {
    this.size = parts.size
    this.#path = parts.path
    this.#digest = parts.digest
    this.done = this.#run(parts.fetch, parts.keep)
    // Readers see the failure; when there is none, nobody needs to know.
    this.done.catch(() => undefined)
  }

  /** Whether one more client can join. */
  get isOpen(): boolean {
    return this.#state === 'running' && !this.#abort.signal.aborted
  }

  /** Keeps it going, and readable, until the function that this returns is called. */
  hold(): () => Promise<void> {
    this.#readers++
    return async () => {
      this.#readers--
      if (this.#readers === 0) this.#abort.abort()
      await this.#closeUnlessNeeded()
    }
  }

  /** Waits until there are bytes. Rejects where there will be none. */
  async started(): Promise<void> {
    while (this.#written === 0 && this.#state === 'running') await this.#change()
    if (this.#state === 'failed') throw this.#failure
  }

  /**
   * The blob's bytes from `start` to `end`, inclusive, while it is held.
   *
   * The last byte of what there is comes only after verification, so that no client takes a forged blob for complete.
   */
  async *read(start: number, end: number): AsyncGenerator<Buffer, void, undefined> {
    for (let position = start; position <= end; ) {
      const available = await this.#available(position)
      const length = Math.min(kReadBytes, available - position, end + 1 - position)
      const bytes = Buffer.allocUnsafe(length)
      const { bytesRead = 0 } = (await this.#file?.read(bytes, 0, length, position)) ?? {}
      if (bytesRead === 0) throw new Error('the file of a download ended early')
      position += bytesRead
      yield bytes.subarray(0, bytesRead)
    }
  }

  /** Ends it, whoever reads. */
  cancel(): void {
    this.#abort.abort()
  }

  /** Waits for bytes after `position`. @returns up to where there are some. */
  async #available(position: number): Promise<number> {
    for (;;) {
      if (this.#state === 'failed') throw this.#failure
      const available = this.#state === 'complete' ? this.size : this.#written - 1
      if (available > position) return available
      await this.#change()
    }
  }

  async #run(
    fetch: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
    keep: (path: string) => Promise<void>,
  ): Promise<void> {
    try {
      this.#file = await open(this.#path, 'wx+', 0o644)
      await this.#file.chmod(0o644)
      await this.#receive(this.#file, fetch(this.#abort.signal))
      await this.#file.sync()
      await keep(this.#path)
      this.#state = 'complete'
    } catch (error) {
      this.#failure = error
      this.#state = 'failed'
      await unlinkIfThere(this.#path)
      throw error
    } finally {
      this.#notify()
      await this.#closeUnlessNeeded()
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
      await writeAll(file, chunk, this.#written)
      this.#written += chunk.byteLength
      this.#notify()
    }
    const actual = finishDigest(hash, algorithm)
    if (actual !== this.#digest) throw new IntegrityError(`Blob ${this.#digest}`, this.#digest, actual)
  }

  async #closeUnlessNeeded(): Promise<void> {
    if (this.#state === 'running' || this.#readers > 0) return
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
