// SPDX-License-Identifier: MIT
import { printable } from '../format/printable.ts'
import type { ProgressItem } from './item.ts'
import type { ProgressView } from './progress.ts'

/** Progress without a terminal: one line each time that something gets another state. */
export class ProgressLines implements ProgressView {
  readonly #write: (text: string) => void
  readonly #states = new Map<string, string>()

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  update({ key, label, state }: ProgressItem): void {
    if (this.#states.get(key) === state) return
    this.#states.set(key, state)
    this.#write(`${printable(label)}: ${state}\n`)
  }

  stop(): void {}
}
