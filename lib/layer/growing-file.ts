// SPDX-License-Identifier: MIT
import { type FileHandle, open } from 'node:fs/promises'

// native/layer_feed.cc reads these words too.
const kState = 0
/** Counts changes: what the reader waits for. */
const kChanges = 1
const kWordBytes = 4 * 2

const kGrowing = 0
const kFinished = 1
const kFailed = 2

/** What the reading thread is given: it reads by the descriptor, and learns from the shared memory how far it may. */
export interface GrowingFileHandle {
  readonly fd: number
  readonly shared: SharedArrayBuffer
}

/** How far a file has come. */
export interface GrowingFileState {
  sizeBytes: number
  state: 'growing' | 'finished' | 'failed'
}

/**
 * A file that is read while it is still being written, by a thread that waits when it has caught up: no byte passes
 * between threads, and the event loop sees none.
 *
 * The writer says how far the file is whole with {@link advance}, and how it ends with {@link finish} or {@link fail}. Bytes
 * once announced must stay: a download that starts anew writes over them without cutting the file. The file may be renamed
 * meanwhile. Whoever opened it closes it, after the reader is done.
 *
 * @example
 * await using growing = await GrowingFile.open(path)
 * const unpacking = unpacker.unpack({ source: growing, layer, targetDir })
 * for await (const chunk of body) {
 *   await file.write(chunk)
 *   growing.advance((total += chunk.length))
 * }
 * growing.finish(total)
 * await unpacking
 */
export class GrowingFile {
  /** Where it was when it was opened. */
  readonly path: string
  readonly #file: FileHandle
  readonly #shared = new SharedArrayBuffer(kWordBytes + 8)
  readonly #words = new Int32Array(this.#shared, 0, 2)
  readonly #size = new BigInt64Array(this.#shared, kWordBytes, 1)
  #failure: unknown

  private constructor(path: string, file: FileHandle) {
    this.path = path
    this.#file = file
  }

  /** Opens a file that exists, for reading. Nothing of it is read before {@link advance}. */
  static async open(path: string): Promise<GrowingFile> {
    return new GrowingFile(path, await open(path, 'r'))
  }

  /** What to give to the reading thread; it makes a {@link GrowingFileView} of it. */
  get handle(): GrowingFileHandle {
    return { fd: this.#file.fd, shared: this.#shared }
  }

  /** Why it failed. */
  get failure(): unknown {
    return this.#failure
  }

  /** Says that the first `totalBytes` of the file are there. A smaller number than before changes nothing. */
  advance(totalBytes: number): void {
    const size = BigInt(totalBytes)
    if (Atomics.load(this.#words, kState) !== kGrowing || size <= Atomics.load(this.#size, 0)) return
    Atomics.store(this.#size, 0, size)
    this.#wake()
  }

  /** Says that the file is whole, and how long. */
  finish(totalBytes: number): void {
    this.advance(totalBytes)
    this.#end(kFinished)
  }

  /** Says that no more will come. @param reason what the reader's caller is told. */
  fail(reason?: unknown): void {
    if (Atomics.load(this.#words, kState) !== kGrowing) return
    this.#failure = reason ?? new Error('The download of the file failed.')
    this.#end(kFailed)
  }

  /** Makes the reader look at its own reasons to stop. */
  wakeReader(): void {
    this.#wake()
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #end(state: number): void {
    Atomics.compareExchange(this.#words, kState, kGrowing, state)
    this.#wake()
  }

  #wake(): void {
    Atomics.add(this.#words, kChanges, 1)
    Atomics.notify(this.#words, kChanges)
  }
}

/** The reading thread's side of a {@link GrowingFile}. */
export class GrowingFileView {
  readonly fd: number
  readonly #words: Int32Array
  readonly #size: BigInt64Array

  constructor(handle: GrowingFileHandle) {
    this.fd = handle.fd
    this.#words = new Int32Array(handle.shared, 0, 2)
    this.#size = new BigInt64Array(handle.shared, kWordBytes, 1)
  }

  /** To be read before {@link look}, so that {@link changeAfter} misses no change between the look and the wait. */
  get changes(): number {
    return Atomics.load(this.#words, kChanges)
  }

  look(): GrowingFileState {
    // The state first: once it says that the file is whole, the size is the last one.
    const state = Atomics.load(this.#words, kState)
    const sizeBytes = Number(Atomics.load(this.#size, 0))
    return { sizeBytes, state: state === kGrowing ? 'growing' : state === kFinished ? 'finished' : 'failed' }
  }

  /** Resolves once something has changed; the thread goes on meanwhile, with inflating for example. */
  async changeAfter(changes: number): Promise<void> {
    await (Atomics as unknown as WaitAsync).waitAsync(this.#words, kChanges, changes).value
  }
}

/** Not in the library that TypeScript has for our target; Node has it from 16 on. */
interface WaitAsync {
  waitAsync(words: Int32Array, index: number, value: number): { async: boolean; value: string | Promise<string> }
}
