// SPDX-License-Identifier: MIT
import type { FileHandle } from 'node:fs/promises'
import { WherryError } from '../errors.ts'
import { DirectoryChanges } from './directory-changes.ts'
import { type LoggedEvent, parseEvent } from './event.ts'
import type { EventFiles } from './event-files.ts'
import type { LogPosition } from './event-log.ts'

const kChunkBytes = 64 * 1024
const kNewline = 0x0a

/** Reads the events of a root from a place on, each once. */
export class EventReader {
  readonly #files: EventFiles
  #at: LogPosition
  /** Of containers that ended, the run that was told last. */
  readonly #ends = new Map<string, string>()

  /** @param from - `undefined`: the oldest event that there is */
  constructor(files: EventFiles, from: LogPosition | undefined) {
    this.#files = files
    this.#at = from ?? { file: 0, offset: 0 }
  }

  /**
   * Events that are there, in batches; with `follow`, also those that come.
   *
   * @throws {WherryError} `ERR_EVENTS_LOST` when the log is written faster than it is read. @throws `signal.reason` on abort.
   */
  async *read({
    follow,
    signal,
  }: {
    follow: boolean
    signal?: AbortSignal | undefined
  }): AsyncGenerator<LoggedEvent[]> {
    const changes = follow ? new DirectoryChanges(this.#files.dir) : undefined
    try {
      for (;;) {
        signal?.throwIfAborted()
        const events = await this.#some()
        if (events !== undefined) yield events.filter((event) => this.#isNew(event))
        else if (changes === undefined) return
        else await changes.next(signal)
      }
    } finally {
      changes?.close()
    }
  }

  /** @returns `undefined` when there is no more now. */
  async #some(): Promise<LoggedEvent[] | undefined> {
    // In this order: where a newer file is there by now, nothing comes behind the end of this one.
    const numbers = await this.#files.numbers()
    const [oldest] = numbers
    if (oldest === undefined) return undefined
    if (this.#at.file === 0) this.#at = { file: oldest, offset: 0 }
    await using file = numbers.includes(this.#at.file) ? await this.#files.open(this.#at.file) : undefined
    if (file === undefined) return numbers.includes(this.#at.file) ? [] : this.#missing(oldest)
    const events = await this.#chunk(file)
    if (events !== undefined) return events
    if (!numbers.includes(this.#at.file + 1)) return undefined
    this.#at = { file: this.#at.file + 1, offset: 0 }
    return []
  }

  #missing(oldest: number): undefined {
    // One that nobody has begun yet.
    if (oldest > this.#at.file) {
      throw new WherryError('Events were told faster than they were read, and some are gone.', {
        code: 'ERR_EVENTS_LOST',
        hint: 'take the events without waiting for what is done about them',
      })
    }
  }

  /** Reads whole lines. @returns `undefined` at the end. */
  async #chunk(file: FileHandle): Promise<LoggedEvent[] | undefined> {
    const bytes = Buffer.allocUnsafe(kChunkBytes)
    const { bytesRead } = await file.read(bytes, 0, kChunkBytes, this.#at.offset)
    const end = bytes.subarray(0, bytesRead).lastIndexOf(kNewline) + 1
    // Longer than any line of ours: whatever that is, it is skipped.
    const taken = end === 0 && bytesRead === kChunkBytes ? bytesRead : end
    if (taken === 0) return undefined
    this.#at = { file: this.#at.file, offset: this.#at.offset + taken }
    return bytes
      .toString('utf8', 0, end)
      .split('\n')
      .filter((line) => line !== '')
      .map(parseEvent)
      .filter((event) => event !== undefined)
  }

  /** Whether an event was not told before: an end may be by two who could not know of each other. */
  #isNew({ type, action, id, run }: LoggedEvent): boolean {
    if (type !== 'container') return true
    if (action === 'destroy') this.#ends.delete(id)
    if (run === undefined) return true
    if (this.#ends.get(id) === run) return false
    if (action === 'die') this.#ends.set(id, run)
    return true
  }
}
