// SPDX-License-Identifier: MIT
import { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { pipeWhileRead } from '../async/pipe-while-read.ts'
import type { Native } from '../launcher/native.ts'
import type { NativeDescriptor } from '../launcher/process-native.ts'
import type { NormalizedExecOptions } from '../options/exec-options.ts'
import { copyOut, pipeInto } from './copy-streams.ts'
import type { PlanDescriptors } from './descriptors.ts'
import { StreamedOutput } from './output.ts'
import { TerminalInput } from './terminal-input.ts'

/** -1 as the kernel reads it. */
const kKeepGroup = 0xffffffff

/** Our ends of the streams of one program, as Node streams. */
export class ExecStreams {
  /** `null` where the option says where the stream goes. */
  stdin: Writable | null = null
  stdout: Readable | null = null
  stderr: Readable | null = null

  readonly #native: Native
  readonly #options: NormalizedExecOptions
  readonly #outputs: StreamedOutput[] = []
  #input: Writable | undefined
  /** Of its own: a stream that ends closes its descriptor, and the number may be another's then. */
  #terminal: NativeDescriptor | undefined

  constructor(native: Native, options: NormalizedExecOptions) {
    this.#native = native
    this.#options = options
  }

  /**
   * Makes the pipes.
   *
   * @param owner - host id of the program's user, who may open /dev/stdout then; `null` where we may not give pipes away
   * @returns slots of descriptors 0, 1 and 2
   */
  connect(descriptors: PlanDescriptors, owner: number | null): [number, number, number] {
    if (this.#options.tty) return [-1, -1, -1]
    const give = (fd: number): number => {
      if (owner !== null) this.#native.fchown(fd, owner, kKeepGroup)
      return descriptors.own(fd)
    }
    return [
      this.#connectInput(descriptors, give),
      this.#connectOutput(descriptors, give, 1),
      this.#connectOutput(descriptors, give, 2),
    ]
  }

  /** Feeds standard input, and takes the terminal where there is one. Called once the program runs. */
  started(terminalFd: number): void {
    if (terminalFd >= 0) {
      this.#terminal = new this.#native.Descriptor(this.#native.duplicate(terminalFd))
      this.#input = new TerminalInput(this.#native, terminalFd)
      this.stdout = this.#read(terminalFd, this.#options.stdout)
      // Without a reader the program must not wait for one: once all are closed, the terminal hangs up: SIGHUP, and no more writing.
      this.#outputs.at(-1)?.once('close', () => {
        this.#input?.destroy()
        this.#terminal?.close()
      })
    }
    const { stdin } = this.#options
    if (this.#input === undefined) return
    if (stdin.kind === 'pipe') this.stdin = this.#input
    else if (stdin.kind === 'bytes') this.#input.end(stdin.bytes)
    else if (stdin.kind === 'stream') pipeInto(stdin.stream, this.#input)
  }

  resize(rows: number, columns: number): void {
    if (this.#terminal !== undefined && this.#terminal.fd >= 0) {
      this.#native.setWindowSize(this.#terminal.fd, rows, columns)
    }
  }

  /** The program has ended. Its output can still be read. @param wasStopped - by us: nobody waits for output any more */
  ended(wasStopped: boolean): void {
    const { stdin } = this.#options
    if (stdin.kind === 'stream' && this.#input !== undefined) stdin.stream.unpipe(this.#input)
    this.#input?.destroy()
    this.#terminal?.close()
    // All who could write are gone: what is in the pipes now is all.
    if (wasStopped) for (const output of this.#outputs) output.cut()
  }

  /** Frees what a start that failed has left. */
  destroy(): void {
    this.#input?.destroy()
    for (const output of this.#outputs) output.destroy()
  }

  #connectInput(descriptors: PlanDescriptors, give: (fd: number) => number): number {
    const { stdin } = this.#options
    if (stdin.kind === 'ignore') return -1
    if (stdin.kind === 'inherit') return descriptors.lend(0)
    const [ours, theirs] = this.#native.pipe('write')
    const input = new Socket({ fd: ours, readable: false, writable: true })
    this.#native.giveAway(ours)
    // A program that ends without reading its input is no error (EPIPE).
    input.on('error', () => undefined)
    this.#input = input
    return give(theirs)
  }

  #connectOutput(descriptors: PlanDescriptors, give: (fd: number) => number, fd: 1 | 2): number {
    const name = fd === 1 ? 'stdout' : 'stderr'
    const target = this.#options[name]
    if (target === 'ignore') return -1
    if (target === 'inherit') return descriptors.lend(fd)
    const [ours, theirs] = this.#native.pipe('read')
    this[name] = this.#read(ours, target)
    return give(theirs)
  }

  #read(fd: number, target: NormalizedExecOptions['stdout']): Readable | null {
    const output = new StreamedOutput(this.#native, fd)
    this.#outputs.push(output)
    if (target === 'pipe') return output
    if (typeof target === 'object') void copyOut(output, target)
    else if (target === 'inherit') output.once('close', pipeWhileRead(output, process.stdout))
    else output.resume()
    return null
  }
}
