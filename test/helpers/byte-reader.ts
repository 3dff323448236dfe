// SPDX-License-Identifier: MIT
import type { Readable } from 'node:stream'

/** Takes a stream of bytes apart, by length or by line. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>
  #rest = Buffer.alloc(0)

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]()
  }

  /** The next bytes. Rejects when the stream ends before. */
  async take(length: number): Promise<Buffer> {
    while (this.#rest.length < length) await this.#more()
    const taken = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    return taken
  }

  /** The next line, without CR LF. */
  async line(): Promise<string> {
    while (!this.#rest.includes('\r\n')) await this.#more()
    const line = await this.take(this.#rest.indexOf('\r\n'))
    await this.take(2)
    return String(line)
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#chunks.next()
    if (done === true) throw new Error('The connection has ended within an answer.')
    this.#rest = Buffer.concat([this.#rest, value])
  }
}
