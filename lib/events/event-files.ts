// SPDX-License-Identifier: MIT
import { join } from 'node:path'
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
}
