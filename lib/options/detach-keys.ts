// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'

const kControl = '@abcdefghijklmnopqrstuvwxyz[\\]^_'

/** Reads keys in Docker's form: characters and `ctrl-<letter>`, with commas between. @throws {InvalidOptionError} */
export function parseDetachKeys(text: string): number[] {
  if (typeof text !== 'string') throw new InvalidOptionError('detachKeys', 'keys such as ctrl-p,ctrl-q', text)
  if (text === '') return []
  return text.split(',').map((key) => {
    if (/^[\x20-\x7e]$/.test(key)) return key.charCodeAt(0)
    const code = key.startsWith('ctrl-') && key.length === 6 ? kControl.indexOf(key[5] ?? '') : -1
    if (code < 0) throw new InvalidOptionError('detachKeys', 'keys such as ctrl-p,ctrl-q', text)
    return code
  })
}

/** Looks for keys in what is typed. The first ones of them are held back until it is clear that the others do not follow. */
export class DetachKeys {
  readonly #keys: readonly number[]
  #matched = 0

  constructor(keys: readonly number[]) {
    this.#keys = keys
  }

  /** @returns what to pass on, and whether all keys came; what comes behind them is dropped. */
  feed(typed: Uint8Array): { passed: Uint8Array; isDetached: boolean } {
    if (this.#keys.length === 0) return { passed: typed, isDetached: false }
    const passed: number[] = []
    for (const byte of typed) {
      if (byte !== this.#keys[this.#matched]) {
        passed.push(...this.#keys.slice(0, this.#matched))
        this.#matched = 0
      }
      if (byte === this.#keys[this.#matched]) this.#matched++
      else passed.push(byte)
      if (this.#matched === this.#keys.length) return { passed: Uint8Array.from(passed), isDetached: true }
    }
    return { passed: Uint8Array.from(passed), isDetached: false }
  }
}
