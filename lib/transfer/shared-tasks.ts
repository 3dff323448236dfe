// SPDX-License-Identifier: MIT

/** What a task that several callers share is given. */
export interface TaskContext<P> {
  /** Aborted when nobody waits for the task any more. */
  readonly signal: AbortSignal
  /** Tells all who wait how far it has come. */
  report(progress: P): void
}

/** How to take part in a task. */
export interface JoinOptions<P> {
  readonly signal?: AbortSignal | undefined
  readonly onProgress: (progress: P) => void
  /** Where the task gets its data. A caller that joins one with another origin does not share its failure. */
  readonly origin: unknown
}

interface Running<T, P> {
  readonly promise: Promise<T>
  readonly origin: unknown
  readonly controller: AbortController
  readonly listeners: Set<(progress: P) => void>
  latest: P | undefined
}

/**
 * Work that is done once however many ask for it at the same time. It goes on as long as one of them waits: who aborts leaves
 * the others alone, and the last one takes the work down and waits for its end.
 */
export class SharedTasks<T, P> {
  readonly #running = new Map<string, Running<T, P>>()

  /** How many are going on. */
  get size(): number {
    return this.#running.size
  }

  /**
   * Takes part in the task named `key`, which `work` starts where there is none.
   *
   * @throws what the task throws; on abort `signal.reason`.
   */
  async join(key: string, options: JoinOptions<P>, work: (context: TaskContext<P>) => Promise<T>): Promise<T> {
    for (;;) {
      options.signal?.throwIfAborted()
      const found = this.#running.get(key)
      const task = found ?? this.#start(key, options.origin, work)
      try {
        return await follow(task, options)
      } catch (error) {
        // Another registry may refuse or lack what ours gives.
        const isOthers = found !== undefined && found.origin !== options.origin
        if (!isOthers || options.signal?.aborted === true) throw error
      }
    }
  }

  #start(key: string, origin: unknown, work: (context: TaskContext<P>) => Promise<T>): Running<T, P> {
    const controller = new AbortController()
    const listeners = new Set<(progress: P) => void>()
    const report = (progress: P): void => {
      task.latest = progress
      for (const listener of listeners) listener(progress)
    }
    const end = (): void => {
      if (this.#running.get(key) === task) this.#running.delete(key)
    }
    // Given up means gone at once: who comes now starts anew, and waits for nothing that is being taken down.
    controller.signal.addEventListener('abort', end, { once: true })
    const promise = Promise.resolve().then(() => work({ signal: controller.signal, report }))
    const task: Running<T, P> = { promise: promise.finally(end), origin, controller, listeners, latest: undefined }
    this.#running.set(key, task)
    return task
  }
}

async function follow<T, P>(task: Running<T, P>, options: JoinOptions<P>): Promise<T> {
  const { signal, onProgress } = options
  // One function per follower, in case several pass the same.
  const listener = (progress: P): void => onProgress(progress)
  task.listeners.add(listener)
  if (task.latest !== undefined) listener(task.latest)
  let onAbort: (() => void) | undefined
  const aborted = new Promise<'aborted'>((resolve) => {
    onAbort = () => resolve('aborted')
    signal?.addEventListener('abort', onAbort, { once: true })
  })
  try {
    const first = await Promise.race([task.promise.then((value) => ({ value })), aborted])
    if (first !== 'aborted') return first.value
  } finally {
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort)
    task.listeners.delete(listener)
  }
  if (task.listeners.size === 0) {
    task.controller.abort(signal?.reason)
    await task.promise.catch(() => undefined)
  }
  throw signal?.reason
}
