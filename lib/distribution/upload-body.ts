import { Readable } from 'node:stream'
import { IntegrityError, TimeoutError } from '../errors.ts'

/** Gives a blob's bytes from `offset` on. */
export type OpenBlob = (offset: number) => AsyncIterable<Uint8Array>

/** One sending of a blob's bytes, from an offset to its end. */
export class UploadBody {
  /** What the source of the bytes threw, or what was wrong with their number. Not the connection's fault. */
  failure: { readonly error: unknown } | undefined
  /** Bytes handed to the connection. */
  sentBytes = 0
  readonly #open: OpenBlob
  readonly #range: { readonly offset: number; readonly end: number }
  readonly #stallTimeoutMs: number
  readonly #onBytes: (sentBytes: number) => void

  constructor(
    open: OpenBlob,
    range: { readonly offset: number; readonly end: number },
    stallTimeoutMs: number,
    onBytes: (sentBytes: number) => void,
  ) {
    this.#open = open
    this.#range = range
    this.#stallTimeoutMs = stallTimeoutMs
    this.#onBytes = onBytes
  }

  /** Starts the bytes from the beginning of the range. */
  stream(): Readable {
    this.sentBytes = 0
    let timer: NodeJS.Timeout | undefined
    const onStall = (): void => {
      stream.destroy(new TimeoutError('Sending a blob', this.#stallTimeoutMs))
    }
    const stream = Readable.from(
      this.#chunks((waiting) => {
        // The clock runs while the connection takes nothing, not while the source has nothing.
        clearTimeout(timer)
        if (waiting) timer = setTimeout(onStall, this.#stallTimeoutMs)
      }),
      { objectMode: false, highWaterMark: 256 * 1024 },
    )
    stream.once('close', () => clearTimeout(timer))
    return stream
  }

  async *#chunks(onWait: (waiting: boolean) => void): AsyncGenerator<Uint8Array, void, undefined> {
    const { offset, end } = this.#range
    const expected = end - offset
    // What the connection fails with is thrown into this generator, where it waits.
    let waiting = false
    try {
      for await (const chunk of this.#open(offset)) {
        if (this.sentBytes + chunk.length > expected) throw sizeError(end, `more than ${end}`)
        if (chunk.length === 0) continue
        waiting = true
        onWait(waiting)
        yield chunk
        waiting = false
        onWait(waiting)
        this.sentBytes += chunk.length
        this.#onBytes(offset + this.sentBytes)
      }
      if (this.sentBytes < expected) throw sizeError(end, `${offset + this.sentBytes}`)
    } catch (error) {
      if (!waiting) this.failure = { error }
      throw error
    }
  }
}

function sizeError(expected: number, actual: string): IntegrityError {
  return new IntegrityError('Size of the blob to be pushed', `${expected} bytes`, `${actual} bytes`)
}
