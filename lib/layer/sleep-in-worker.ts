// SPDX-License-Identifier: MIT
/**
 * Puts the calling thread to sleep until `words[index]` is no longer `value` and somebody says so. For threads of ours:
 * on the main thread it would stop the embedding program.
 */
export function sleep(words: Int32Array, index: number, value: number): void {
  Atomics.wait(words, index, value)
}
