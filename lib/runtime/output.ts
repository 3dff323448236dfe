// SPDX-License-Identifier: MIT
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
      else onOverflow()
    })
  }

  /** Reads what is left: called when the process has ended. */
  drain(): void {
    this.#collector.drain()
  }
}
