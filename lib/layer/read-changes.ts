// SPDX-License-Identifier: MIT
import { resolve } from 'node:path'
import type { ChangesJob, LayerChange } from './layer-changes.ts'
import { checkLayerLimits, type LayerLimits } from './limits.ts'
import { runPackThread } from './pack-thread.ts'

export interface ReadChangesOptions {
  /** Bounds on what is walked; `maxEntries` is that of changes. @default kDefaultLayerLimits */
  limits?: Partial<LayerLimits> | undefined
  /** Socket of a process that reads the trees with other privileges (native/file_server.cc); then all are descriptors. */
  server?: number | undefined
  signal?: AbortSignal | undefined
}

/**
 * Says what an overlay's upper directory changes in the layers below it, as `docker diff` does: what is added, a directory
 * with all that is in it; what is modified, together with the directories around it; what is deleted, a directory without
 * what was in it. A file that was copied up and then left as it was is not listed, nor is the root.
 *
 * Done by a thread of its own, without a mount. The upper directory may change meanwhile; layers may not.
 *
 * @param upper its path, or an open descriptor, which stays the caller's. So are those of `lowers`.
 * @param lowers unpacked layers, from the topmost down.
 * @returns changes in the order of the paths' bytes, but what is deleted from an emptied directory at that directory's end.
 *   Names that are not UTF-8 have U+FFFD in them.
 * @throws {LayerError} over a limit. @throws {SyscallError} when the host fails.
 */
export async function readChanges(
  upper: string | number,
  lowers: readonly (string | number)[],
  options: ReadChangesOptions = {},
): Promise<readonly LayerChange[]> {
  const [from, ...below] = [upper, ...lowers].map((place) => (typeof place === 'number' ? place : resolve(place)))
  const job: ChangesJob = {
    kind: 'changes',
    layer: typeof from === 'string' ? from : 'a directory',
    upper: from ?? upper,
    lowers: below,
    limits: checkLayerLimits('limits', options.limits),
    server: options.server,
  }
  return (await runPackThread(job, options.signal)) as readonly LayerChange[]
}
