// SPDX-License-Identifier: MIT

/**
 * Runs `work` for each item, at most `limit` at a time. The first failure keeps the rest from starting; what runs has ended
 * when this settles.
 *
 * @param stop ends what runs after a failure.
 */
export async function forEachLimited<T>(
  items: readonly T[],
  limit: number,
  stop: (reason: unknown) => void,
  work: (item: T, position: number) => Promise<void>,
): Promise<void> {
  const queue = items.entries()
  const failures: unknown[] = []
  const worker = async (): Promise<void> => {
    for (const [position, item] of queue) {
      if (failures.length > 0) return
      try {
        await work(item, position)
      } catch (error) {
        failures.push(error)
        stop(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
  if (failures.length > 0) throw failures[0]
}
