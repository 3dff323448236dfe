// SPDX-License-Identifier: MIT
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno } from '../store/atomic.ts'
import { namesIn, statIfThere } from '../store/files.ts'
import { type LogRecord, parseLogRecord } from './log-record.ts'

const kNewline = 0x0a
const kChunkBytes = 64 * 1024
/** No record that the launcher writes is longer. */
const kMaxRecordBytes = 32 * 1024

/** Says that records between two others were rotated away before they were read. */
export const kGap = Symbol('gap')

/** The files `log.N` … `log.1`, `log` as one, also while they are renamed. */
export class LogFiles {
  readonly #dir: string
  readonly #chunk = Buffer.allocUnsafe(kChunkBytes)
  #file: FileHandle | undefined
  #rest = Buffer.alloc(0)

  constructor(dir: string) {
    this.#dir = dir
  }

  /** All records that are there and were not read yet, many at a time. They are valid until the next ones are asked for. */
  async *records(): AsyncGenerator<readonly LogRecord[] | typeof kGap> {
    this.#file ??= await this.#openOldest()
    while (this.#file !== undefined) {
      yield* this.#read(this.#file)
      const next = await this.#openNext(this.#file)
      if (next === undefined) return
      // Whatever was written between our last read and the rotation.
      yield* this.#read(this.#file)
      await this.#file.close()
      this.#file = next.file
      this.#rest = Buffer.alloc(0)
      if (next.isAfterGap) yield kGap
    }
  }

  async close(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
  }

  async *#read(file: FileHandle): AsyncGenerator<readonly LogRecord[]> {
    for (;;) {
      const { bytesRead } = await file.read(this.#chunk, 0, this.#chunk.length, null)
      if (bytesRead === 0) return
      const bytes = Buffer.concat([this.#rest, this.#chunk.subarray(0, bytesRead)])
      const records: LogRecord[] = []
      let start = 0
      for (let end = bytes.indexOf(kNewline); end >= 0; end = bytes.indexOf(kNewline, start)) {
        const record = parseLogRecord(bytes.subarray(start, end))
        start = end + 1
        if (record !== undefined) records.push(record)
      }
      const rest = bytes.subarray(start)
      this.#rest = rest.length > kMaxRecordBytes ? Buffer.alloc(0) : Buffer.from(rest)
      yield records
    }
  }

  async #openOldest(): Promise<FileHandle | undefined> {
    for (const name of (await this.#names()).reverse()) {
      const file = await this.#open(name)
      if (file !== undefined) return file
    }
    return undefined
  }

  /** The file after the one that is open; `undefined` while that is the newest. */
  async #openNext(current: FileHandle): Promise<{ file: FileHandle; isAfterGap: boolean } | undefined> {
    for (;;) {
      const { ino, nlink } = await current.stat()
      // Rotated away before we came to its end, or the container was removed.
      if (nlink === 0) {
        const file = await this.#openOldest()
        return file === undefined ? undefined : { file, isAfterGap: true }
      }
      // The newest first: files are renamed towards the other end, and none can slip past.
      const names = await this.#names()
      const position = await this.#indexOf(ino, names)
      if (position === 0) return undefined
      const [name, newer] = [names[position], names[position - 1]]
      if (name === undefined || newer === undefined) continue
      const file = await this.#open(newer)
      // Older files are renamed first: while ours has its name, the other one had its own.
      if (file !== undefined && (await this.#inodeOf(name)) === ino) return { file, isAfterGap: false }
      await file?.close()
      if ((await this.#names()).length === 0) return undefined
    }
  }

  async #indexOf(ino: number, names: readonly string[]): Promise<number> {
    for (const [position, name] of names.entries()) if ((await this.#inodeOf(name)) === ino) return position
    return -1
  }

  async #inodeOf(name: string): Promise<number | undefined> {
    return (await statIfThere(join(this.#dir, name)))?.ino
  }

  async #open(name: string): Promise<FileHandle | undefined> {
    try {
      return await open(join(this.#dir, name), 'r')
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  }

  /** The newest first. */
  async #names(): Promise<string[]> {
    const age = (name: string): number => Number(name.split('.')[1] ?? 0)
    const names = (await namesIn(this.#dir)).filter((name) => /^log(\.[1-9]\d*)?$/.test(name))
    return names.sort((a, b) => age(a) - age(b))
  }
}
