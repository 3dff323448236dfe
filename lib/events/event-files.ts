// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno } from '../store/atomic.ts'
import { namesIn } from '../store/files.ts'

/** The files of a log of events: `events/1`, `events/2`, …; the highest number is the one that is written to. */
export class EventFiles {
  readonly dir: string

  constructor(dir: string) {
    this.dir = dir
  }

  path(number: number): string {
    return join(this.dir, String(number))
  }

  /** Numbers of those that are there, the oldest first. */
  async numbers(): Promise<number[]> {
    const names = await namesIn(this.dir)
    return names
      .filter((name) => /^[1-9]\d{0,14}$/.test(name))
      .map(Number)
      .sort((a, b) => a - b)
  }

  /** Number of the one that is written to; `undefined` before the first event. */
  async newest(): Promise<number | undefined> {
    return (await this.numbers()).at(-1)
  }

  /** Opens one for reading; `undefined` where it has gone. */
  async open(number: number): Promise<FileHandle | undefined> {
    try {
      return await open(this.path(number), constants.O_RDONLY | constants.O_NOFOLLOW)
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  }
}
