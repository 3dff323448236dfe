// SPDX-License-Identifier: MIT
import { rm } from 'node:fs/promises'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { WherryError } from '../errors.ts'
import { ChunkRing, kAtomicsWake, newRingMemory, stopped } from './chunk-ring.ts'
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
  /** Whether a worker reads the layer, which reports too. */
  withFeeder: boolean
  reports: JobReport[]
  /** Once the owner wants no more of it, whatever the threads have done by then. */
  isStopped: boolean
  resolve: (result: UnpackResult) => void
  reject: (error: unknown) => void
}

/**
 * Two threads that unpack layers, one after the other: one reads, hashes and decompresses, the other makes the files. The first is
 * one of the addon, for each layer anew; for a stream, or what is packed by zstd, it is a worker. Workers stay for the next
 * layer; while they wait they do not keep the process alive.
 */
export class ThreadPair {
  readonly #ring = newRingMemory()
  readonly #control = new ChunkRing(this.#ring, { sleep: () => {}, wake: kAtomicsWake })
  readonly #feederPort: MessagePort
  readonly #writer: Worker
  #feeder: Worker | undefined
  #jobs = 0
  #running: Running | undefined
  #ended: Promise<void> | undefined

  constructor() {
    const { port1, port2 } = new MessageChannel()
    this.#feederPort = port1
    this.#writer = this.#start('unpack-worker', port2)
  }

  /** Whether it can take another layer. */
  get isUsable(): boolean {
    return this.#ended === undefined
  }

  /** Unpacks one layer; to be called when the one before has settled. A failure leaves nothing behind. */
  run(job: PairJob): Promise<UnpackResult> {
    return new Promise((resolve, reject) => {
      const withFeeder = job.source.kind === 'messages'
      this.#begin({ id: ++this.#jobs, job, withFeeder, reports: [], isStopped: false, resolve, reject })
    })
  }

  #begin(running: Running): void {
    const { id, job, withFeeder } = running
    const { options, source } = job
    this.#control.reset()
    this.#running = running
    this.#writer.ref()
    const forAddon = withFeeder || source.kind === 'messages' ? undefined : source
    this.#writer.postMessage({ id, options, source: forAddon } satisfies WriteJob)
    if (!withFeeder) return
    this.#feeder ??= this.#start('feed-worker', this.#feederPort)
    this.#feeder.ref()
    const feedJob: FeedJob = { id, layer: options.layer, source }
    this.#feeder.postMessage(feedJob, source.kind === 'messages' ? [source.port] : [])
  }

  /** Makes the present run end soon, with an error. */
  stop(): void {
    this.#control.stop()
    if (this.#running === undefined) return
    this.#running.isStopped = true
    this.#running.job.wakeFeeder()
  }

  /** Ends both threads. */
  close(): Promise<void> {
    this.#ended ??= this.#terminate()
    return this.#ended
  }

  async #terminate(): Promise<void> {
    // Node cannot end a thread that is asleep in the addon: that wakes up by itself, to find that it is stopped.
    this.#control.stop()
    if (this.#feeder === undefined) this.#feederPort.close()
    await Promise.all([this.#feeder?.terminate(), this.#writer.terminate()])
  }

  #start(name: 'feed-worker' | 'unpack-worker', port: MessagePort): Worker {
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
    // What a thread says that is being ended is that it was stopped.
    if (running?.id !== report.id || this.#ended !== undefined) return
    if (report.needsFeeder === true && !running.isStopped) {
      this.#begin({ ...running, id: ++this.#jobs, withFeeder: true })
      return
    }
    running.reports.push(report)
    if (running.withFeeder && running.reports.length === 1) {
      // The writer may have had enough while the feeder waits for bytes.
      if (report.result !== undefined || report.error !== undefined) running.job.wakeFeeder()
      return
    }
    this.#running = undefined
    for (const thread of [this.#feeder, this.#writer]) thread?.unref()
    const { result, error } = Object.assign({}, ...running.reports) as JobReport
    if (error !== undefined) running.reject(unpackError(error))
    else if (result !== undefined && running.isStopped) void undo(running, stopped())
    else if (result !== undefined) running.resolve(result)
    else running.reject(running.isStopped ? stopped() : new Error('no result'))
  }

  /** A thread died, out of memory for example, and could not clean up. */
  #onCrash(cause: unknown): void {
    const running = this.#running
    this.#running = undefined
    const ended = this.close()
    if (running === undefined) return
    const error = new WherryError('A thread that unpacked a layer ended unexpectedly.', { code: 'ERR_WORKER', cause })
    void undo(running, error, ended)
  }
}

/** Rejects a run once nothing is left of what it made. */
async function undo({ job, reject }: Running, error: unknown, ended?: Promise<void>): Promise<void> {
  try {
    await ended
    await rm(job.options.targetDir, { recursive: true, force: true })
  } catch {
    // The owner of the place looks after what cannot be removed now.
  }
  reject(error)
}
