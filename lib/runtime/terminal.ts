// SPDX-License-Identifier: MIT
import { pipeWhileRead } from '../async/pipe-while-read.ts'
import type { Native } from '../launcher/native.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import { copyOut } from './copy-streams.ts'
import { StreamedOutput } from './output.ts'
import { followOwnTerminal, makeOwnTerminalRaw } from './own-terminal.ts'
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
      this.#stream.once('close', () => {
        // Without a reader the program must not wait for one: once both are closed, the terminal hangs up: SIGHUP, and no more writing.
        this.#input.destroy()
        resolve()
      })
    })
    this.#readInto(options, onOverflow)
    this.#feed(options)
    if (options.stdout === 'inherit') {
      const resize = (rows: number, columns: number): void => {
        if (!this.#stream.destroyed) native.setWindowSize(fd, rows, columns)
      }
      this.#undo.push(followOwnTerminal(resize))
    }
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
    if (stdout === 'inherit') this.#undo.push(pipeWhileRead(this.#stream, process.stdout))
    else if (typeof stdout === 'object') void copyOut(this.#stream, stdout)
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
      this.#undo.push(makeOwnTerminalRaw(this.#native))
      own.pipe(this.#input, { end: false })
      this.#undo.push(() => {
        own.unpipe(this.#input)
        own.pause()
      })
    }
  }
}
