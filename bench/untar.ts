// SPDX-License-Identifier: MIT
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { forEachLimited } from '../lib/transfer/limited.ts'
import { requireSuccess } from './command.ts'
import { kAtOnce } from './p3-names.ts'

/** All that the library restores too: owners as numbers, modes, times, every extended attribute. */
const kFlags = ['--numeric-owner', '--xattrs', '--xattrs-include=*', '-xpf']

/**
 * Prepares GNU tar for layers as the library unpacks them: each into a directory of its own, several at once.
 * @param directory — where the layers' directories are made, now and not when the clock runs
 * @param synced — whether all is on the disk at the end, as a layer of the library is
 */
export async function prepareUntar(
  archives: readonly string[],
  directory: string,
  { synced }: { synced: boolean },
): Promise<() => Promise<void>> {
  const jobs = archives.map((archive, index) => ({ archive, target: join(directory, String(index)) }))
  for (const { target } of jobs) await mkdir(target)
  return async () => {
    const stopping = new AbortController()
    const stop = () => stopping.abort()
    await forEachLimited(jobs, kAtOnce, stop, async ({ archive, target }) => {
      await requireSuccess('tar', [...kFlags, archive, '-C', target], { signal: stopping.signal })
    })
    if (synced) await requireSuccess('sync', ['-f', directory])
  }
}
