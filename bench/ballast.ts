// SPDX-License-Identifier: MIT
import { randomFillSync } from 'node:crypto'
import { readIfThere } from './files.ts'

const kPieceBytes = 1024 * 1024

/**
 * Grows this process until `targetBytes` are resident, in touched pieces of 1 MiB.
 *
 * fork() copies page tables, so what counts is the number of pages: transparent huge pages would make the ballast
 * lighter than the same bytes of JavaScript objects, and are reported beside the result for that reason.
 * @returns the ballast; keep it referenced for as long as it should weigh
 */
export function growResident(targetBytes: number): Buffer[] {
  const ballast: Buffer[] = []
  while (process.memoryUsage.rss() < targetBytes) {
    const piece = Buffer.allocUnsafeSlow(kPieceBytes)
    randomFillSync(piece)
    ballast.push(piece)
  }
  return ballast
}

/** Reads how much of this process lies in huge pages, in bytes. */
export async function hugePageBytes(): Promise<number> {
  const text = (await readIfThere('/proc/self/smaps_rollup')) ?? ''
  return Number(/^AnonHugePages:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024
}
