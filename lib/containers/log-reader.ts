// SPDX-License-Identifier: MIT
import { watch } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno } from '../store/atomic.ts'
import { namesIn } from '../store/files.ts'
import { LineJoiner, type LogLine, type LogRecord, parseLogRecord } from './log-record.ts'

const kNewline = 0x0a
const kChunkBytes = 64 * 1024
/** No record that the launcher writes is longer. */
const kMaxRecordBytes = 32 * 1024
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
 * Reads the log files of a container, the oldest first, and follows them through rotations.
 *
 * @param hasEnded - whether nobody writes to them any more.
 */
export async function* readLogs(
  dir: string,
  query: LogQuery,
  hasEnded: () => Promise<boolean>,
): AsyncGenerator<LogLine> {
  const joiner = new LineJoiner()
  const wanted = selector(query)
  const files = new LogFiles(dir)
  const changes = query.follow ? new Changes(dir, query.signal) : undefined
  try {
    const past: LogLine[] = []
    for await (const line of linesOf(files, joiner)) {
      query.signal?.throwIfAborted()
      if (!wanted(line)) continue
      if (query.tail === undefined) {
        yield line
        continue
      }
      past.push(line)
      if (past.length > query.tail) past.shift()
    }
    yield* past
    while (changes !== undefined) {
      // Asked before the files are read: what was written before the end is read after it.
      const isLast = await hasEnded()
      for await (const line of linesOf(files, joiner)) if (wanted(line)) yield line
      if (isLast) break
      if (query.untilMs !== undefined && Date.now() >= query.untilMs) return
      await changes.next()
    }
    if (!query.follow && !(await hasEnded())) return
    for (const line of joiner.end()) if (wanted(line)) yield line
  } finally {
    changes?.close()
    await files.close()
  }
}

function selector({ sinceMs, untilMs, streams }: LogQuery): (line: LogLine) => boolean {
  return ({ time, stream }) => {
    if (!streams.includes(stream)) return false
    if (sinceMs === undefined && untilMs === undefined) return true
    const at = Date.parse(time)
    return at >= (sinceMs ?? Number.NEGATIVE_INFINITY) && at < (untilMs ?? Number.POSITIVE_INFINITY)
  }
}

async function* linesOf(files: LogFiles, joiner: LineJoiner): AsyncGenerator<LogLine> {
  for await (const record of files.records()) {
    const line = joiner.push(record)
    if (line !== undefined) yield line
  }
}

/** The files `log.N` … `log.1`, `log` as one, also while they are renamed. */
class LogFiles {
  readonly #dir: string
  #file: FileHandle | undefined
  #inode = 0
  #rest = Buffer.alloc(0)

  constructor(dir: string) {
    this.#dir = dir
  }

  /** All records that are there and were not read yet. */
  async *records(): AsyncGenerator<LogRecord> {
    this.#file ??= await this.#openOldest()
    while (this.#file !== undefined) {
      yield* this.#read(this.#file)
      const next = await this.#openNext()
      if (next === undefined) return
      // Whatever was written between our last read and the rotation.
      yield* this.#read(this.#file)
      await this.#file.close()
      this.#file = next
      this.#rest = Buffer.alloc(0)
    }
  }

  async close(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
  }

  async *#read(file: FileHandle): AsyncGenerator<LogRecord> {
    const chunk = Buffer.allocUnsafe(kChunkBytes)
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, null)
      if (bytesRead === 0) return
      let bytes = Buffer.concat([this.#rest, chunk.subarray(0, bytesRead)])
      for (let end = bytes.indexOf(kNewline); end >= 0; end = bytes.indexOf(kNewline)) {
        const record = parseLogRecord(bytes.subarray(0, end))
        if (record !== undefined) yield record
        bytes = bytes.subarray(end + 1)
      }
      this.#rest = bytes.length > kMaxRecordBytes ? Buffer.alloc(0) : Buffer.from(bytes)
    }
  }

  async #openOldest(): Promise<FileHandle | undefined> {
    return this.#open((await this.#names())[0])
  }

  /** The file after the one that is open; `undefined` while that is the newest. */
  async #openNext(): Promise<FileHandle | undefined> {
    const names = await this.#names()
    for (const [position, name] of names.entries()) {
      const file = await this.#peek(name)
      if (file === undefined) continue
      const { ino } = await file.stat()
      await file.close()
      if (ino === this.#inode) return this.#open(names[position + 1])
    }
    // Ours is gone: rotated away before we came to its end.
    return this.#open(names[0])
  }

  async #open(name: string | undefined): Promise<FileHandle | undefined> {
    const file = name === undefined ? undefined : await this.#peek(name)
    if (file !== undefined) this.#inode = (await file.stat()).ino
    return file
  }

  async #peek(name: string): Promise<FileHandle | undefined> {
    try {
      return await open(join(this.#dir, name), 'r')
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  }

  async #names(): Promise<string[]> {
    const age = (name: string): number => Number(name.split('.')[1] ?? 0)
    const names = (await namesIn(this.#dir)).filter((name) => /^log(\.[1-9]\d*)?$/.test(name))
    return names.sort((a, b) => age(b) - age(a))
  }
}

/** Wakes up when something in a directory changes. A change between two calls is not lost. */
class Changes {
  readonly #watcher: ReturnType<typeof watch>
  readonly #signal: AbortSignal | undefined
  #isDue = false
  #wake: (() => void) | undefined

  constructor(dir: string, signal: AbortSignal | undefined) {
    this.#signal = signal
    this.#watcher = watch(dir, () => this.#onChange())
    // The directory may be removed with the container; the next look tells.
    this.#watcher.on('error', () => this.#onChange())
    signal?.addEventListener('abort', this.#onChange, { once: true })
  }

  async next(): Promise<void> {
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
    this.#watcher.close()
    this.#signal?.removeEventListener('abort', this.#onChange)
    this.#wake?.()
  }

  readonly #onChange = (): void => {
    this.#isDue = true
    this.#wake?.()
  }
}
