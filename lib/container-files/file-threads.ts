// SPDX-License-Identifier: MIT
import { Worker } from 'node:worker_threads'
import { Turns } from '../async/turns.ts'
import { WherryError } from '../errors.ts'
import { unpackError } from '../layer/worker-protocol.ts'
import type { FileJob, FileJobMessage, FileJobReport } from './file-jobs.ts'

const kIdleMs = 5000
const kMaxThreads = 16

interface Idle {
  readonly worker: Worker
  readonly timer: NodeJS.Timeout
}

/** Threads for jobs on files, kept for a while: starting one takes longer than most jobs. */
export class FileThreads {
  readonly #idle: Idle[] = []
  readonly #turns = new Turns()
  #busy = 0
  #isClosed = false

  /** Runs a job. An abort ends its thread. @throws what the job throws. @throws `signal.reason` on abort. */
  async run(socket: number, job: FileJob, signal?: AbortSignal): Promise<unknown> {
    while (this.#busy >= kMaxThreads) await this.#turns.wait(signal)
    signal?.throwIfAborted()
    if (this.#isClosed) throw new WherryError('The engine is closed.', { code: 'ERR_ENGINE_CLOSED' })
    this.#busy++
    const worker = this.#take()
    try {
      const report = await oneJob(worker, { socket, job }, signal)
      if (report === undefined)
        throw new WherryError('A thread that worked on files ended unexpectedly.', { code: 'ERR_WORKER' })
      this.#keep(worker)
      if ('error' in report) throw unpackError(report.error)
      return report.result
    } finally {
      this.#busy--
      this.#turns.next()
    }
  }

  /** Ends the threads that wait. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(
      this.#idle.splice(0).map(({ worker, timer }) => {
        clearTimeout(timer)
        return worker.terminate()
      }),
    )
  }

  #take(): Worker {
    const idle = this.#idle.pop()
    if (idle !== undefined) {
      clearTimeout(idle.timer)
      idle.worker.ref()
      return idle.worker
    }
    return new Worker(new URL('./files-worker.js', import.meta.url), { name: 'wherry-files', execArgv: [] })
  }

  #keep(worker: Worker): void {
    worker.unref()
    if (this.#isClosed) {
      void worker.terminate()
      return
    }
    const timer = setTimeout(() => {
      this.#idle.splice(
        this.#idle.findIndex((idle) => idle.worker === worker),
        1,
      )
      void worker.terminate()
    }, kIdleMs)
    timer.unref()
    this.#idle.push({ worker, timer })
  }
}

/** @returns `undefined` when the thread has ended. @throws `signal.reason` on abort, when the thread has ended. */
async function oneJob(
  worker: Worker,
  message: FileJobMessage,
  signal: AbortSignal | undefined,
): Promise<FileJobReport | undefined> {
  const stop = (): void => {
    worker.terminate().catch(() => undefined)
  }
  const { job } = message
  signal?.addEventListener('abort', stop, { once: true })
  const report = await new Promise<FileJobReport | undefined>((resolve) => {
    const onExit = (): void => resolve(undefined)
    const onError = (): void => undefined
    worker.once('exit', onExit)
    worker.once('error', onError)
    worker.once('message', (answer: FileJobReport) => {
      worker.off('exit', onExit)
      worker.off('error', onError)
      resolve(answer)
    })
    worker.postMessage(message, 'port' in job ? [job.port] : [])
  })
  signal?.removeEventListener('abort', stop)
  // Aborted just now: the thread is on its way out.
  if (signal?.aborted === true) {
    await worker.terminate()
    signal.throwIfAborted()
  }
  return report
}
