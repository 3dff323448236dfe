// SPDX-License-Identifier: MIT
import type { Engine } from '../index.ts'
import { printableJson } from './format/printable.ts'
import { Interrupts } from './interrupts.ts'

/** The library, loaded when a command needs it: help and wrong flags are answered without. */
export type Library = typeof import('../index.ts')

/** What commands share: streams, signals, the engine, the exit code. */
export class Cli {
  readonly stdin = process.stdin
  readonly stdout = process.stdout
  readonly stderr = process.stderr
  readonly interrupts = new Interrupts()
  readonly version: string
  /** What the process exits with, when nothing is thrown. */
  exitCode = 0
  /** Whether results could not be written, for another reason than a reader that went away. */
  isOutputLost = false
  /** State directory, where one was given. */
  root: string | undefined

  constructor(version: string) {
    this.version = version
  }

  /** Whether stacks and causes of errors are wanted. */
  get isDebugging(): boolean {
    return (process.env.WHERRY_DEBUG ?? '') !== ''
  }

  /** Aborted by Ctrl-C and the like. */
  get signal(): AbortSignal {
    return this.interrupts.signal
  }

  library(): Promise<Library> {
    return import('../index.ts')
  }

  /** Runs work with an engine, which is closed whatever happens. */
  async withEngine<T>(work: (engine: Engine, library: Library) => Promise<T>): Promise<T> {
    const library = await this.library()
    // One command starts one container: none is prepared for a next one.
    await using engine = await library.Engine.open({ root: this.root, prepared: 0 })
    return await work(engine, library)
  }

  /** Writes lines to standard output. */
  print(...lines: string[]): void {
    for (const line of lines) this.stdout.write(`${line}\n`)
  }

  printJson(value: unknown): void {
    this.print(printableJson(value, 2))
  }

  /** Tells a person something that is no result. */
  tell(line: string): void {
    this.stderr.write(`${line}\n`)
  }
}
