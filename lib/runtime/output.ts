// SPDX-License-Identifier: MIT
import { Readable } from 'node:stream'
import type { Native } from '../launcher/native.ts'
import type { NativeCollector } from '../launcher/process-native.ts'

/** Everything that one stream of a container writes, up to a limit. */
export class CollectedOutput {
  /** Settles at the end of the stream; never rejects. */
  readonly bytes: Promise<Buffer>
  readonly #collector: NativeCollector

  /** @param fd — our end of the pipe or terminal; closed at its end */
  constructor(native: Native, fd: number, maxBytes: number, onOverflow: () => void) {
    let resolveBytes: (bytes: Buffer) => void = () => {}
    this.bytes = new Promise((resolve) => {
      resolveBytes = resolve
    })
    this.#collector = new native.Collector(fd, maxBytes, (event, bytes) => {
      if (event === 'end') resolveBytes(bytes ?? Buffer.alloc(0))
      else if (event === 'overflow') onOverflow()
    })
  }

  /** Reads what is left: called when the process has ended. */
  drain(): void {
    this.#collector.drain()
  }

  /** Takes what was read so far for all, whoever may still write. */
  cut(): void {
    this.#collector.end()
  }
}

/** Everything that one stream of a container writes, as a stream: a reader that is slow holds the container back. */
export class StreamedOutput extends Readable {
  readonly #collector: NativeCollector
  #chunks = 0

  /** Pieces read so far. */
  get chunks(): number {
    return this.#chunks
  }

  /** @param fd — our end of the pipe or terminal; closed at its end */
  constructor(native: Native, fd: number) {
    super()
    this.#collector = new native.Collector(fd, -1, (event, bytes) => {
      if (event === 'end') this.push(null)
      else if (bytes !== undefined) {
        this.#chunks++
        if (!this.push(bytes)) this.#collector.pause()
      }
    })
  }

  override _read(): void {
    this.#collector.resume()
  }

  /** Ends the stream after what was read so far, whoever may still write. */
  cut(): void {
    this.#collector.end()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#collector.close()
    done(error)
  }
}
