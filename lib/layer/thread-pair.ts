// SPDX-License-Identifier: MIT
import { rm } from 'node:fs/promises'
import { MessageChannel, Worker } from 'node:worker_threads'
import { WherryError } from '../errors.ts'
import { ChunkRing, newRingMemory } from './chunk-ring.ts'
import type { UnpackResult, UnpackStreamOptions } from './unpack-stream.ts'
import { type FeedJob, type FeedSource, type JobReport, unpackError, type WriteJob } from './worker-protocol.ts'

/** What one run of a pair needs from the owner of its source. */
export interface PairJob {
  source: FeedSource
  options: UnpackStreamOptions
  /** Makes a feeding thread that waits for more bytes look whether it is to stop. */
  wakeFeeder: () => void
}

interface Running {
  id: number
  job: PairJob
  reports: JobReport[]
  resolve: (result: UnpackResult) => void
  reject: (error: unknown) => void
}

/**
 * Two threads that unpack layers, one after the other: one reads, hashes and decompresses, the other makes the files.
 * They stay for the next layer; while they wait they do not keep the process alive.
 */
export class ThreadPair {
  readonly #ring = newRingMemory()
  readonly #control = new ChunkRing(this.#ring, () => {})
  readonly #feeder: Worker
  readonly #writer: Worker
  #jobs = 0
  #running: Running | undefined
  #ended: Promise<void> | undefined

  constructor() {
    const { port1, port2 } = new MessageChannel()
    this.#feeder = this.#start('feed-worker', port1)
    this.#writer = this.#start('unpack-worker', port2)
  }

  /** Whether it can take another layer. */
  get isUsable(): boolean {
    return this.#ended === undefined
  }

  /** Unpacks one layer; to be called when the one before has settled. A failure leaves nothing behind. */
  run(job: PairJob): Promise<UnpackResult> {
    const id = ++this.#jobs
    this.#control.reset()
    for (const thread of [this.#feeder, this.#writer]) thread.ref()
    return new Promise((resolve, reject) => {
      this.#running = { id, job, reports: [], resolve, reject }
      this.#writer.postMessage({ id, options: job.options } satisfies WriteJob)
      const feedJob: FeedJob = { id, layer: job.options.layer, source: job.source }
      this.#feeder.postMessage(feedJob, job.source.kind === 'messages' ? [job.source.port] : [])
    })
  }

  /** Makes the present run end soon, with an error. */
  stop(): void {
    this.#control.stop()
    this.#running?.job.wakeFeeder()
  }

  /** Ends both threads. */
  close(): Promise<void> {
    this.#ended ??= Promise.all([this.#feeder.terminate(), this.#writer.terminate()]).then(() => {})
    return this.#ended
  }

  #start(name: 'feed-worker' | 'unpack-worker', port: MessageChannel['port1']): Worker {
    const worker = new Worker(new URL(`./${name}.js`, import.meta.url), {
      name: `wherry-${name}`,
      workerData: { ring: this.#ring, port },
      transferList: [port],
      // Flags and loaders of the embedding program are not for these threads.
      execArgv: [],
    })
    worker.unref()
    worker.on('message', (report: JobReport) => this.#onReport(report))
    worker.on('error', (error) => this.#onCrash(error))
    worker.on('exit', () => this.#onCrash(undefined))
    return worker
  }

  #onReport(report: JobReport): void {
    const running = this.#running
    if (running?.id !== report.id) return
    running.reports.push(report)
    if (running.reports.length === 1) {
      // The writer may have had enough while the feeder waits for bytes.
      if (report.result !== undefined || report.error !== undefined) running.job.wakeFeeder()
      return
    }
    this.#running = undefined
    for (const thread of [this.#feeder, this.#writer]) thread.unref()
    const { result, error } = Object.assign({}, ...running.reports) as JobReport
    if (result !== undefined) running.resolve(result)
    else running.reject(error === undefined ? new Error('no result') : unpackError(error))
  }

  /** A thread died, out of memory for example, and could not clean up. */
  #onCrash(cause: unknown): void {
    const running = this.#running
    this.#running = undefined
    const ended = this.close()
    if (running === undefined) return
    const error = new WherryError('A thread that unpacked a layer ended unexpectedly.', { code: 'ERR_WORKER', cause })
    const cleanUp = async (): Promise<void> => {
      await ended
      await rm(running.job.options.targetDir, { recursive: true, force: true })
    }
    cleanUp().then(
      () => running.reject(error),
      () => running.reject(error),
    )
  }
}
