// SPDX-License-Identifier: MIT
import { write } from 'node:fs'
import { Writable } from 'node:stream'
import type { Native } from '../launcher/native.ts'

const kRetryMs = 5

/** Types into a terminal's master side: a descriptor of its own, non-blocking. What comes after its end is dropped. */
export class TerminalInput extends Writable {
  readonly #native: Native
  readonly #fd: number

  constructor(native: Native, fd: number) {
    super({ decodeStrings: true })
    this.#native = native
    this.#fd = native.duplicate(fd)
    this.on('error', () => {})
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    if (chunk.length === 0 || this.destroyed) {
      done()
      return
    }
    write(this.#fd, chunk, (error, written) => {
      if (error === null) this._write(chunk.subarray(written), 'utf8', done)
      // The program is slow to read: the terminal holds 4 KiB.
      else if (error.code === 'EAGAIN') setTimeout(() => this._write(chunk, 'utf8', done), kRetryMs)
      else done()
    })
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#native.close(this.#fd)
    done(error)
  }
}
