// SPDX-License-Identifier: MIT
// Starts processes that work on a store, and kills them at an instant of what they do.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { env, execPath } from 'node:process'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { until } from '../helpers/until.ts'

export type WorkerMode = 'pull' | 'push' | 'prune' | 'load' | 'save' | 'remove'

/** What a worker works on. */
export interface Places {
  /** State directory. */
  root: string
  /** Archive that is loaded. */
  archive: string
  /** Name of the image that is pulled, with its registry. */
  pullReference: string
  /** Another registry, where images are pushed to. */
  pushHost: string
  /** Path that images are saved to. */
  saveTo: string
}

const kWorker = fileURLToPath(new URL('./store-worker.js', import.meta.url))
const kStartMs = 30_000

/** A running store-worker.ts. */
export class Worker {
  readonly mode: WorkerMode
  readonly #child: ChildProcess
  readonly #closed: Promise<unknown>
  #output = ''
  #errors = ''

  constructor(t: TestContext, mode: WorkerMode, places: Places) {
    this.mode = mode
    this.#child = spawn(execPath, [kWorker, mode, JSON.stringify(places)], { stdio: 'pipe' })
    t.after(() => this.#child.kill('SIGKILL'))
    this.#closed = once(this.#child, 'close')
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString()
    })
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString()
    })
  }

  /** How long each time took that it came to the end of what it does, in milliseconds. */
  get tookMs(): number[] {
    return [...this.#output.matchAll(/^end ([\d.]+)$/gm)].map(([, text]) => Number(text))
  }

  /** Whether it is in the middle of what it does. */
  get isMidway(): boolean {
    return /(?:^|\n)begin\n$/.test(this.#output)
  }

  /** Waits until it can begin. */
  async isReady(): Promise<void> {
    await until(() => this.#isRunning() && this.#output !== '', `${this.mode} is ready`, kStartMs)
  }

  /** Lets it begin. */
  go(): void {
    this.#child.stdin?.write('go\n')
  }

  /** Waits until it is in the middle of what it does. */
  async hasBegun(): Promise<void> {
    await until(() => this.#isRunning() && this.isMidway, `${this.mode} has begun`, kStartMs)
  }

  /** Waits until it has come to the end of what it does. */
  async hasEndedOnce(): Promise<void> {
    await until(() => this.#isRunning() && this.tookMs.length > 0, `${this.mode} has ended once`, kStartMs)
  }

  /** Kills it. @returns whether it was in the middle of what it does. */
  async kill(): Promise<boolean> {
    this.#isRunning()
    this.#child.kill('SIGKILL')
    await this.#closed
    assert.equal(this.#child.signalCode, 'SIGKILL', `${this.mode} ended by itself: ${this.#errors}`)
    return this.isMidway
  }

  #isRunning(): true {
    const { exitCode, signalCode } = this.#child
    assert.deepEqual([exitCode, signalCode], [null, null], `${this.mode} ended by itself: ${this.#errors}`)
    return true
  }
}

/** A positive whole number from the environment. */
export function countFromEnv(name: string, byDefault: number): number {
  const text = env[name]
  if (text === undefined || text === '') return byDefault
  assert.match(text, /^[1-9]\d{0,8}$/, `${name} must be a positive whole number`)
  return Number(text)
}
