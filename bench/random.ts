// SPDX-License-Identifier: MIT

/** A source of numbers in [0, 1), repeatable from its seed. */
export type Random = () => number

/** Makes a repeatable generator (mulberry32), so that the order of trials of a run can be had again from its JSON. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Returns a shuffled copy (Fisher–Yates). */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const copy = [...items]
  for (let last = copy.length - 1; last > 0; last--) {
    const pick = Math.floor(random() * (last + 1))
    const kept = copy[last] as T
    copy[last] = copy[pick] as T
    copy[pick] = kept
  }
  return copy
}
