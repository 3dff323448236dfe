// SPDX-License-Identifier: MIT
import { WherryError } from '../errors.ts'

/** Small enough to be in the processor's cache still when the other thread comes to it. */
export const kChunkBytes = 256 * 1024
const kSlots = 16

const kPublished = 0
const kReleased = 1
const kEnded = 2
const kClosed = 3
const kStopped = 4
const kProducerNews = 5
const kConsumerNews = 6
/** Set before the first chunk: a thread of the addon has inflated them. */
const kInflated = 7
const kLengths = 8

/** Memory of a ring, to be given to both threads. */
export interface RingMemory {
  readonly control: SharedArrayBuffer
  readonly data: SharedArrayBuffer
}

export function newRingMemory(): RingMemory {
  return {
    control: new SharedArrayBuffer(4 * (kLengths + kSlots)),
    data: new SharedArrayBuffer(kSlots * kChunkBytes),
  }
}

/** How threads wait for each other. */
export interface Waiting {
  /** Puts the calling thread to sleep until `words[index]` is no longer `value` and somebody says so, or for no reason. */
  sleep: (words: Int32Array, index: number, value: number) => void
  /** Wakes who sleeps there. */
  wake: (words: Int32Array, index: number) => void
}

/** Of threads that have JavaScript. They have a `sleep` of their own: it would stop the embedding program on the main thread. */
export const kAtomicsWake: Waiting['wake'] = (words, index) => {
  Atomics.notify(words, index)
}

/**
 * Hands chunks from one thread to another without copying: a ring of buffers in shared memory. Either side sleeps when
 * the other is behind; a third thread, the owner, may stop both. native/layer_feed.cc is a producer too, and knows the words.
 */
export class ChunkRing {
  readonly #words: Int32Array
  readonly #slots: readonly Buffer[]
  readonly #sleep: Waiting['sleep']
  readonly #wake: Waiting['wake']

  constructor(memory: RingMemory, { sleep, wake }: Waiting) {
    this.#words = new Int32Array(memory.control)
    this.#sleep = sleep
    this.#wake = wake
    this.#slots = Array.from({ length: kSlots }, (_, i) => Buffer.from(memory.data, i * kChunkBytes, kChunkBytes))
  }

  /** Producer: the buffer to fill next, once the consumer is done with it. @throws {WherryError} `ERR_ABORTED` */
  slot(): Buffer {
    for (;;) {
      const news = Atomics.load(this.#words, kProducerNews)
      this.check()
      const published = Atomics.load(this.#words, kPublished)
      if (published - Atomics.load(this.#words, kReleased) < kSlots) return this.#slots[published % kSlots] as Buffer
      this.#sleep(this.#words, kProducerNews, news)
    }
  }

  /** Producer: passes a chunk on. It is copied unless it lies in the buffer that {@link slot} returned last. */
  put(chunk: Buffer): void {
    const published = Atomics.load(this.#words, kPublished)
    if (chunk.buffer === this.#slots[published % kSlots]?.buffer) {
      this.#publish(chunk.length)
      return
    }
    for (let at = 0; at < chunk.length; at += kChunkBytes) this.#publish(chunk.copy(this.slot(), 0, at))
  }

  #publish(length: number): void {
    if (length === 0) return
    const published = Atomics.load(this.#words, kPublished)
    Atomics.store(this.#words, kLengths + (published % kSlots), length)
    Atomics.store(this.#words, kPublished, published + 1)
    this.#tell(kConsumerNews)
  }

  /** Producer: there is no more. */
  end(): void {
    Atomics.store(this.#words, kEnded, 1)
    this.#tell(kConsumerNews)
  }

  /** Consumer: all chunks up to the end; each is good until the next. @throws {WherryError} `ERR_ABORTED` */
  *chunks(): Generator<Buffer, void, undefined> {
    for (let taken = 0; ; ) {
      const news = Atomics.load(this.#words, kConsumerNews)
      this.check()
      const hasEnded = Atomics.load(this.#words, kEnded) !== 0
      if (taken < Atomics.load(this.#words, kPublished)) {
        const slot = taken % kSlots
        yield (this.#slots[slot] as Buffer).subarray(0, Atomics.load(this.#words, kLengths + slot))
        Atomics.store(this.#words, kReleased, ++taken)
        this.#tell(kProducerNews)
      } else if (hasEnded) {
        return
      } else {
        this.#sleep(this.#words, kConsumerNews, news)
      }
    }
  }

  /** Consumer: whether the chunks are what came out of a compressed layer, whose digest nobody has made yet. */
  get isInflated(): boolean {
    return Atomics.load(this.#words, kInflated) !== 0
  }

  /** Consumer: wants no more, whatever comes. */
  close(): void {
    Atomics.store(this.#words, kClosed, 1)
    this.#tell(kProducerNews)
  }

  /** Throws when there is nobody to work for. @throws {WherryError} `ERR_ABORTED` */
  check(): void {
    if (Atomics.load(this.#words, kStopped) === 0 && Atomics.load(this.#words, kClosed) === 0) return
    throw stopped()
  }

  /** Owner: stops both sides. */
  stop(): void {
    Atomics.store(this.#words, kStopped, 1)
    this.#tell(kProducerNews)
    this.#tell(kConsumerNews)
  }

  /** Owner: makes it empty again, while neither side uses it. */
  reset(): void {
    for (let i = 0; i < kLengths; i++) Atomics.store(this.#words, i, 0)
  }

  #tell(index: number): void {
    Atomics.add(this.#words, index, 1)
    this.#wake(this.#words, index)
  }
}

/** What a thread says that has been stopped. */
export function stopped(): WherryError {
  return new WherryError('The unpacking was stopped.', { code: 'ERR_ABORTED' })
}
