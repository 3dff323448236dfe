// SPDX-License-Identifier: MIT
import { channel } from 'node:diagnostics_channel'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { debuglog } from 'node:util'
import { isErrno, makeDirectory } from '../store/atomic.ts'
import { unlinkIfThere } from '../store/files.ts'
import { pause } from '../store/lock.ts'
import type { StoreNative } from '../store/native.ts'
import { openPrivateFile } from '../store/private-files.ts'
import { formatEvent, makeEvent, type NewEvent, publicEvent } from './event.ts'
import { EventFiles } from './event-files.ts'

const debug = debuglog('wherry-events')

/** Size at which another file is begun. */
const kMaxFileBytes = 1024 * 1024
/** Files that are kept, the one that is written to included. */
const kKeptFiles = 4
const kRotatedPauseMs = 1
/** What may come later is written together with all that is told in this time. */
const kLaterMs = 20
const kRotateTries = 5
/** Whoever begins another file is done in no time; one who is stopped over it must not hold up everybody's containers for ever. */
const kAppendTries = 1_000

/** A place in the log. */
export interface LogPosition {
  readonly file: number
  readonly offset: number
}

/**
 * Writes the events of a root, which all processes on it append to. Whoever writes holds a shared lock on the file; whoever begins
 * another file, the only one: when that file is there, nothing comes behind the end of the one before.
 */
export class EventLog {
  readonly files: EventFiles
  readonly #native: StoreNative
  readonly #maxFileBytes: number
  /** The newest file, as far as we know. */
  #file = 0
  /** Lines whose turn has not come, and that more may join. */
  #batch: { readonly lines: string[]; readonly written: Promise<void> } | undefined
  #writing: Promise<void> = Promise.resolve()
  /** Lines of {@link EventLog.tellLater}. */
  readonly #later: string[] = []
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  /** @param dir - made by the first event */
  constructor(dir: string, native: StoreNative, options: { maxFileBytes?: number } = {}) {
    this.files = new EventFiles(dir)
    this.#native = native
    this.#maxFileBytes = options.maxFileBytes ?? kMaxFileBytes
  }

  /**
   * Tells an event: at once to subscribers of `wherry:container`, `wherry:image` and `wherry:volume` in this process. Resolves when
   * others can read it; a disk that is full loses events, and stops nothing.
   */
  tell(event: NewEvent): Promise<void> {
    this.#add(event)
    return this.#writeLater()
  }

  /** As {@link tell}, for what happens often and nobody waits for: writing at once would compete with the work itself. */
  tellLater(event: NewEvent): void {
    this.#add(event)
    if (this.#later.length > 0) this.#timer ??= setTimeout(() => this.#writeLater(), kLaterMs)
  }

  #add(event: NewEvent): void {
    const line = announce(event)
    if (!this.#isClosed) this.#later.push(line)
  }

  /** Hands over what was told for later, in the order in which it was. */
  #writeLater(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#later.length === 0) return this.#writing
    if (this.#batch === undefined) {
      const lines: string[] = []
      this.#batch = { lines, written: this.#inTurn(() => this.#flush(lines)) }
    }
    this.#batch.lines.push(...this.#later.splice(0))
    return this.#batch.written
  }

  /** Where the next event will be. What this process has told before lies before it. */
  async end(): Promise<LogPosition> {
    let position: LogPosition = { file: 1, offset: 0 }
    void this.#writeLater()
    this.#batch = undefined
    await this.#inTurn(async () => {
      const newest = await this.files.newest()
      if (newest === undefined) return
      await using file = await this.files.open(newest)
      position = { file: newest, offset: file === undefined ? 0 : (await file.stat()).size }
    })
    return position
  }

  /** Waits until everything is written. */
  settle(): Promise<void> {
    return this.#writeLater()
  }

  /** Writes what is to be written, and nothing after that: the root may be another's from then on, or gone. */
  close(): Promise<void> {
    this.#isClosed = true
    return this.settle()
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#writing.then(work)
    this.#writing = done.catch((error: unknown) => debug('an event is lost: %s', error))
    return this.#writing
  }

  async #flush(lines: readonly string[]): Promise<void> {
    if (this.#batch?.lines === lines) this.#batch = undefined
    // A newline before it too: somebody before us may have been cut short.
    await this.#append(Buffer.from(`\n${lines.join('\n')}\n`))
  }

  async #append(bytes: Uint8Array): Promise<void> {
    for (let tries = 0; tries < kAppendTries; tries++) {
      await using file = await this.#open()
      // Somebody begins another one.
      if (!this.#native.ofdLock(file.fd, 'read')) await pause(kRotatedPauseMs, undefined)
      else if ((await this.files.newest()) !== this.#file) this.#file = 0
      else {
        await file.write(bytes)
        if ((await file.stat()).size >= this.#maxFileBytes) await this.#rotate(file)
        return
      }
    }
    throw new Error(`${this.files.path(this.#file)} is locked, or was put aside, each of ${kAppendTries} times`)
  }

  async #open(): Promise<FileHandle> {
    for (;;) {
      if (this.#file === 0) this.#file = (await this.files.newest()) ?? 0
      const isFirst = this.#file === 0
      try {
        // Not those above it: a root that has been removed is not to come back.
        if (isFirst) await makeDirectory(this.files.dir, 0o700)
        this.#file ||= 1
        const path = this.files.path(this.#file)
        return isFirst ? await openPrivateFile(path, kAppend) : await open(path, kAppend)
      } catch (error) {
        if (!isErrno(error, 'ENOENT') || isFirst) throw error
        this.#file = 0
      }
    }
  }

  /** Begins another file. Where somebody is writing all the time, the next one does. */
  async #rotate(file: FileHandle): Promise<void> {
    this.#native.ofdLock(file.fd, 'unlock')
    for (let tries = 0; !this.#native.ofdLock(file.fd, 'write'); tries++) {
      if (tries === kRotateTries) return
      await pause(kRotatedPauseMs * Math.random(), undefined)
    }
    const numbers = await this.files.numbers()
    if (numbers.at(-1) !== this.#file) return
    await using _made = await openPrivateFile(this.files.path(this.#file + 1), kAppend)
    for (const number of numbers.slice(0, 1 - kKeptFiles)) await unlinkIfThere(this.files.path(number))
  }
}

/** Tells subscribers in this process. @returns the line for all others */
function announce(event: NewEvent): string {
  const made = makeEvent(event)
  const subscribers = channel(`wherry:${made.type}`)
  if (subscribers.hasSubscribers) subscribers.publish(publicEvent(made))
  return formatEvent(made)
}

const kAppend = constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW
