// SPDX-License-Identifier: MIT

const kUnits = 'bkmgtp'

/**
 * Parses a byte count by Docker's rules: a number, then optionally b, k, m, g, t or p (powers of 1024) in any case, as in
 * `'256m'`, `'1.5g'`, `'512KiB'`, `'64 mb'`. Fractions of a byte are cut off. A number is taken as it is.
 *
 * @returns whole bytes, or `undefined` when it is not a non-negative quantity below 2^53.
 */
export function parseByteQuantity(quantity: number | string): number | undefined {
  if (typeof quantity === 'number') return Number.isSafeInteger(quantity) && quantity >= 0 ? quantity : undefined
  const match = /^([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?(?:([bkmgtp])(?:i?b)?)?$/i.exec(quantity)
  if (match === null || /bi?b$/i.test(quantity)) return undefined
  const power = kUnits.indexOf((match[2] ?? 'b').toLowerCase())
  const bytes = Math.floor(Number(match[1]) * 1024 ** power)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Parses a list of CPUs as the kernel writes it, `'0-2,4'`, into ascending numbers; `undefined` when it is not one. */
export function parseCpuList(list: string): number[] | undefined {
  const cpus = new Set<number>()
  for (const part of list.split(',')) {
    const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(part.trim())
    if (match === null) return undefined
    const first = Number(match[1])
    const last = Number(match[2] ?? match[1])
    // 8192 is the most CPUs that Linux can be built for.
    if (last < first || last >= 8192) return undefined
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu)
  }
  return [...cpus].sort((a, b) => a - b)
}
