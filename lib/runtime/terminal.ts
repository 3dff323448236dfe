// SPDX-License-Identifier: MIT
import type { Native } from '../launcher/native.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import { StreamedOutput } from './output.ts'
import { TerminalInput } from './terminal-input.ts'

const kEndOfTransmission = 4

type TerminalOptions = Pick<NormalizedContainerOptions, 'stdin' | 'stdout' | 'maxOutputBytes'>

/** Our side of a container's terminal: one stream both ways. */
export class Terminal {
  readonly #native: Native
  readonly #stream: StreamedOutput
  /** Apart from the reader: a write that comes too late must not end the reading of what is still there. */
  readonly #input: TerminalInput
  readonly #chunks: Buffer[] = []
  readonly #ended: Promise<void>
  readonly #undo: (() => void)[] = []
  #size = 0

  constructor(native: Native, fd: number, options: TerminalOptions, onOverflow: () => void) {
    this.#native = native
    this.#input = new TerminalInput(native, fd)
    this.#stream = new StreamedOutput(native, fd)
    this.#ended = new Promise((resolve) => {
      this.#stream.once('close', resolve)
    })
    this.#readInto(options, onOverflow)
    this.#feed(options)
    if (options.stdout === 'inherit') this.#follow(fd)
  }

  /** Waits for the end of the output. @returns what was collected */
  async end(wasStopped: boolean): Promise<Buffer> {
    if (wasStopped) this.#stream.destroy()
    await this.#ended
    this.#stream.destroy()
    this.#input.destroy()
    for (const undo of this.#undo) undo()
    return Buffer.concat(this.#chunks)
  }

  #readInto(options: TerminalOptions, onOverflow: () => void): void {
    const { stdout, maxOutputBytes } = options
    if (stdout === 'inherit') this.#stream.pipe(process.stdout, { end: false })
    else if (typeof stdout === 'object') this.#stream.pipe(stdout, { end: false })
    else
      this.#stream.on('data', (chunk: Buffer) => {
        if (stdout === 'ignore') return
        const room = maxOutputBytes - this.#size
        if (chunk.length > room) onOverflow()
        this.#size += Math.min(chunk.length, room)
        if (room > 0) this.#chunks.push(chunk.subarray(0, room))
      })
  }

  #feed({ stdin }: TerminalOptions): void {
    if (stdin.kind === 'bytes') {
      this.#input.write(stdin.bytes)
      this.#input.write(Buffer.from([kEndOfTransmission]))
    } else if (stdin.kind === 'stream') {
      stdin.stream.pipe(this.#input, { end: false })
      this.#undo.push(() => stdin.stream.unpipe(this.#input))
    } else if (stdin.kind === 'inherit') {
      const { stdin: own } = process
      if (own.isTTY) this.#makeRaw(own.fd)
      own.pipe(this.#input, { end: false })
      this.#undo.push(() => {
        own.unpipe(this.#input)
        own.pause()
      })
    }
  }

  /** Node's own raw mode is for input only: a bare line feed would still return the carriage, and be drawn wrong. */
  #makeRaw(fd: number): void {
    let settings: Uint8Array
    try {
      settings = this.#native.makeRaw(fd)
    } catch {
      // It has hung up; its input ends by itself.
      return
    }
    const restore = (): void => {
      try {
        this.#native.restoreTerminal(fd, settings)
      } catch {
        // Hung up meanwhile.
      }
    }
    process.once('exit', restore)
    this.#undo.push(() => {
      process.off('exit', restore)
      restore()
    })
  }

  /** Keeps the window as large as our own. */
  #follow(fd: number): void {
    const { stdout } = process
    const resize = (): void => {
      if (!this.#stream.destroyed && stdout.isTTY) this.#native.setWindowSize(fd, stdout.rows, stdout.columns)
    }
    resize()
    stdout.on('resize', resize)
    this.#undo.push(() => stdout.off('resize', resize))
  }
}
