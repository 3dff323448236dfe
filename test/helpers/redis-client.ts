// SPDX-License-Identifier: MIT
import type { Duplex } from 'node:stream'
import { ByteReader } from './byte-reader.ts'

export type RedisReply = string | number | null | RedisReply[]

/** Speaks RESP2 with a Redis on the other side of a socket. */
export class RedisClient {
  readonly #socket: Duplex
  readonly #reader: ByteReader

  constructor(socket: Duplex) {
    this.#socket = socket
    this.#reader = new ByteReader(socket)
  }

  /** Sends one command and waits for its reply. Rejects where that is an error. One at a time. */
  async send(...words: readonly string[]): Promise<RedisReply> {
    const bulks = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
    this.#socket.write(`*${words.length}\r\n${bulks.join('')}`)
    return await this.#reply()
  }

  end(): void {
    this.#socket.destroy()
  }

  async #reply(): Promise<RedisReply> {
    const line = await this.#reader.line()
    const rest = line.slice(1)
    switch (line[0]) {
      case '+':
        return rest
      case ':':
        return Number(rest)
      case '$':
        return rest === '-1' ? null : String(await this.#reader.take(Number(rest) + 2)).slice(0, -2)
      case '*': {
        const replies: RedisReply[] = []
        for (let i = 0; i < Number(rest); i++) replies.push(await this.#reply())
        return replies
      }
      default:
        throw new Error(`Redis answered ${line}`)
    }
  }
}
