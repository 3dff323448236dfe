// SPDX-License-Identifier: MIT
import { Socket } from 'node:net'
import type { Native } from '../launcher/native.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import { copyOut, pipeInto } from './copy-streams.ts'
import type { PlanDescriptors } from './descriptors.ts'
import { CollectedOutput, StreamedOutput } from './output.ts'
import { Terminal } from './terminal.ts'

/** -1 as the kernel reads it. */
const kKeepGroup = 0xffffffff
const kNone = Buffer.alloc(0)

/** What streams depend on. */
export type StreamOptions = Pick<NormalizedContainerOptions, 'tty' | 'stdin' | 'stdout' | 'stderr' | 'maxOutputBytes'>

/** The streams of one run, from before its start to the end of its output. */
export class StandardStreams {
  readonly #native: Native
  readonly #options: StreamOptions
  readonly #onOverflow: () => void
  readonly #outputs: (CollectedOutput | undefined)[] = [undefined, undefined]
  readonly #copied: StreamedOutput[] = []
  readonly #copies: Promise<void>[] = []
  #owner: number | null = null
  #terminal: Terminal | undefined
  #input: Socket | undefined

  constructor(native: Native, options: StreamOptions, onOverflow: () => void) {
    this.#native = native
    this.#options = options
    this.#onOverflow = onOverflow
  }

  /**
   * Makes the pipes.
   *
   * @param owner — host id of the container's user, who may open /dev/stdout then; `null` where we may not give pipes away
   * @returns slots of descriptors 0, 1 and 2
   */
  connect(descriptors: PlanDescriptors, owner: number | null): [number, number, number] {
    if (this.#options.tty) return [-1, -1, -1]
    this.#owner = owner
    return [this.#connectInput(descriptors), this.#connectOutput(descriptors, 1), this.#connectOutput(descriptors, 2)]
  }

  /** Feeds standard input, and takes the terminal where there is one. Called once the program runs. */
  started(terminalFd: number): void {
    if (terminalFd >= 0) {
      this.#terminal = new Terminal(this.#native, terminalFd, this.#options, this.#onOverflow)
      return
    }
    const input = this.#input
    if (input === undefined) return
    const { stdin } = this.#options
    if (stdin.kind === 'bytes') input.end(stdin.bytes)
    else if (stdin.kind === 'stream') pipeInto(stdin.stream, input)
    else input.end()
  }

  /**
   * Reads what the ended program left behind.
   *
   * @param wasStopped — we ended it: streams that still wait are cut off
   * @param patienceMs — how long a stream may say nothing until what others may still write to it does not count. @default no limit
   */
  async collect(wasStopped: boolean, patienceMs?: number): Promise<[stdout: Buffer, stderr: Buffer]> {
    const quiet = patienceMs === undefined ? undefined : setInterval(this.#cutWhatIsQuiet(), patienceMs)
    try {
      return await this.#collect(wasStopped)
    } finally {
      clearInterval(quiet)
    }
  }

  async #collect(wasStopped: boolean): Promise<[stdout: Buffer, stderr: Buffer]> {
    // Who ended the container does not want to wait for a reader that is slow.
    if (wasStopped) for (const copy of this.#copied) copy.destroy()
    for (const output of this.#outputs) output?.drain()
    this.#release()
    if (this.#terminal !== undefined) return [await this.#terminal.end(wasStopped), kNone]
    if (this.#copies.length > 0) await Promise.all(this.#copies)
    const [stdout, stderr] = this.#outputs
    return [stdout === undefined ? kNone : await stdout.bytes, stderr === undefined ? kNone : await stderr.bytes]
  }

  #cutWhatIsQuiet(): () => void {
    const seen = new Map(this.#copied.map((copy) => [copy, copy.chunks]))
    return () => {
      for (const output of this.#outputs) output?.cut()
      for (const [copy, chunks] of seen) {
        // A reader that is slow gets everything that there is.
        if (copy.chunks === chunks && copy.readableLength === 0) copy.cut()
        seen.set(copy, copy.chunks)
      }
    }
  }

  /** Frees what a start that failed has left. Output pipes end by themselves when the other side is closed. */
  abandon(): void {
    this.#release()
  }

  #release(): void {
    const { stdin } = this.#options
    if (stdin.kind === 'stream' && this.#input !== undefined) stdin.stream.unpipe(this.#input)
    this.#input?.destroy()
  }

  #connectInput(descriptors: PlanDescriptors): number {
    const { stdin } = this.#options
    if (stdin.kind === 'ignore') return -1
    if (stdin.kind === 'inherit') return descriptors.lend(0)
    const [ours, theirs] = this.#native.pipe('write')
    this.#input?.destroy()
    this.#input = new Socket({ fd: ours, readable: false, writable: true })
    this.#native.giveAway(ours)
    // A program that ends without reading its input is no error of the run (EPIPE).
    this.#input.on('error', () => {})
    return this.#give(descriptors, theirs)
  }

  #connectOutput(descriptors: PlanDescriptors, fd: 1 | 2): number {
    const target = fd === 1 ? this.#options.stdout : this.#options.stderr
    if (target === 'ignore') return -1
    if (target === 'inherit') return descriptors.lend(fd)
    const [ours, theirs] = this.#native.pipe('read')
    if (target === 'pipe') {
      this.#outputs[fd - 1] = new CollectedOutput(this.#native, ours, this.#options.maxOutputBytes, this.#onOverflow)
    } else {
      const output = new StreamedOutput(this.#native, ours)
      this.#copied.push(output)
      this.#copies.push(copyOut(output, target))
    }
    return this.#give(descriptors, theirs)
  }

  #give(descriptors: PlanDescriptors, fd: number): number {
    if (this.#owner !== null) this.#native.fchown(fd, this.#owner, kKeepGroup)
    return descriptors.own(fd)
  }
}
