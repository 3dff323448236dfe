// SPDX-License-Identifier: MIT
import type { FileHandle } from 'node:fs/promises'
import { writeAll } from '../store/files.ts'

/** Chunks that may wait for the disk before the sender has to wait too. */
const kMaxQueuedBytes = 1024 * 1024

/**
 * Writes chunks one after the other to a file. While one write is under way the next chunks gather, and are written together:
 * each write costs the event loop as much whatever its size.
 */
export class BatchWriter {
  readonly #file: FileHandle
  readonly #onWritten: (totalBytes: number) => void
  #position: number
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #writing: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  /**
   * @param position - where to begin.
   * @param onWritten - told after each write up to where the file is whole.
   */
  constructor(file: FileHandle, position: number, onWritten: (totalBytes: number) => void) {
    this.#file = file
    this.#position = position
    this.#onWritten = onWritten
  }

  /**
   * Takes a chunk, which must stay as it is. A write that failed is told with the next chunk, or by {@link end}.
   *
   * @returns what to wait for before the next chunk, where too much is waiting already.
   */
  push(chunk: Uint8Array): Promise<void> | undefined {
    this.#throwFailure()
    this.#queue.push(chunk)
    this.#queuedBytes += chunk.length
    this.#writing ??= this.#writeAll()
    return this.#queuedBytes > kMaxQueuedBytes ? this.#writing : undefined
  }

  /** Waits until everything is written. */
  async end(): Promise<void> {
    await this.#writing
    this.#throwFailure()
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        const [batch, bytes] = [this.#queue, this.#queuedBytes]
        this.#queue = []
        this.#queuedBytes = 0
        await writeBatch(this.#file, batch, this.#position)
        this.#position += bytes
        this.#onWritten(this.#position)
      }
    } catch (error) {
      this.#failure ??= { error }
    }
    this.#writing = undefined
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

async function writeBatch(file: FileHandle, batch: readonly Uint8Array[], position: number): Promise<void> {
  let { bytesWritten: written } = await file.writev(batch, position)
  let start = position
  for (const chunk of batch) {
    const done = Math.min(written, chunk.length)
    if (done < chunk.length) await writeAll(file, chunk.subarray(done), start + done)
    written -= done
    start += chunk.length
  }
}
