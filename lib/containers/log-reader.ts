// SPDX-License-Identifier: MIT
import { type FSWatcher, watch } from 'node:fs'
import { isErrno } from '../store/atomic.ts'
import { kGap, LogFiles } from './log-files.ts'
import { LineJoiner, type LogLine } from './log-record.ts'

/** A look now and then, for file systems that tell of no changes. */
const kFallbackMs = 500

/** Which lines to read. */
export interface LogQuery {
  /** Goes on until the container has ended. */
  readonly follow: boolean
  /** Milliseconds since 1970; lines from then on. */
  readonly sinceMs: number | undefined
  /** Lines before then. */
  readonly untilMs: number | undefined
  /** The last lines only, before it follows. */
  readonly tail: number | undefined
  readonly streams: readonly ('stdout' | 'stderr')[]
  readonly signal: AbortSignal | undefined
}

/**
 * Reads the log files of a container, the oldest first, and follows them through rotations. Lines come many at a time.
 *
 * @param hasEnded - whether nobody writes to them any more.
 */
export async function* readLogs(
  dir: string,
  query: LogQuery,
  hasEnded: () => Promise<boolean>,
): AsyncGenerator<readonly LogLine[]> {
  const lines = new Lines(dir, query)
  const changes = query.follow ? new Changes(dir, query.signal) : undefined
  try {
    // Asked before the files are read: what was written before the end is read after it.
    let isLast = changes === undefined || (await hasEnded())
    yield* query.tail === undefined ? lines.read(isLast) : lines.tail(query.tail, isLast)
    while (changes !== undefined && !isLast) {
      if (query.untilMs !== undefined && Date.now() >= query.untilMs) return
      await changes.next()
      isLast = await hasEnded()
      yield* lines.read(isLast)
    }
  } finally {
    changes?.close()
    await lines.close()
  }
}

/** The lines that a query asks for. */
class Lines {
  readonly #joiner = new LineJoiner()
  readonly #files: LogFiles
  readonly #query: LogQuery

  constructor(dir: string, query: LogQuery) {
    this.#files = new LogFiles(dir)
    this.#query = query
  }

  /** Those that are there and were not read yet. @param isLast - whether no more will come. */
  async *read(isLast: boolean): AsyncGenerator<readonly LogLine[]> {
    for await (const records of this.#files.records()) {
      this.#query.signal?.throwIfAborted()
      const lines = records === kGap ? this.#joiner.end() : records.map((record) => this.#joiner.push(record))
      yield lines.filter((line) => line !== undefined && this.#isWanted(line)) as LogLine[]
    }
    if (isLast) yield this.#joiner.end().filter((line) => this.#isWanted(line))
  }

  /** The last ones of those. */
  async *tail(count: number, isLast: boolean): AsyncGenerator<readonly LogLine[]> {
    let last: LogLine[] = []
    for await (const lines of this.read(isLast)) {
      last.push(...lines)
      // Not line by line: moving up thousands for each would take for ever.
      if (last.length > 2 * count) last = count === 0 ? [] : last.slice(-count)
    }
    yield count === 0 ? [] : last.slice(-count)
  }

  close(): Promise<void> {
    return this.#files.close()
  }

  #isWanted({ time, stream }: LogLine): boolean {
    const { sinceMs, untilMs, streams } = this.#query
    if (!streams.includes(stream)) return false
    if (sinceMs === undefined && untilMs === undefined) return true
    const at = Date.parse(time)
    return at >= (sinceMs ?? Number.NEGATIVE_INFINITY) && at < (untilMs ?? Number.POSITIVE_INFINITY)
  }
}

/** Wakes up when something in a directory changes. A change between two calls is not lost. */
class Changes {
  readonly #watcher: FSWatcher | undefined
  readonly #signal: AbortSignal | undefined
  #isDue = false
  #wake: (() => void) | undefined

  constructor(dir: string, signal: AbortSignal | undefined) {
    this.#signal = signal
    this.#watcher = watchIfThere(dir, this.#onChange)
    // The directory may be removed with the container; the next look tells.
    this.#watcher?.on('error', this.#onChange)
    signal?.addEventListener('abort', this.#onChange, { once: true })
  }

  async next(): Promise<void> {
    this.#signal?.throwIfAborted()
    if (!this.#isDue) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, kFallbackMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#wake = undefined
    this.#isDue = false
    this.#signal?.throwIfAborted()
  }

  close(): void {
    this.#watcher?.close()
    this.#signal?.removeEventListener('abort', this.#onChange)
    this.#wake?.()
  }

  readonly #onChange = (): void => {
    this.#isDue = true
    this.#wake?.()
  }
}

function watchIfThere(dir: string, onChange: () => void): FSWatcher | undefined {
  try {
    return watch(dir, onChange)
  } catch (error) {
    // Too many watches (fs.inotify.max_user_watches): we look now and then.
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ENOSPC', 'EMFILE')) return undefined
    throw error
  }
}
