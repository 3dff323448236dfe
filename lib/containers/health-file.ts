// SPDX-License-Identifier: MIT
import { join } from 'node:path'
import { isErrno, replaceFile } from '../store/atomic.ts'
import { kStateFile } from '../store/container-state.ts'
import { readIfThere } from '../store/files.ts'
import type { StoredContainer } from './container-store.ts'
import { type HealthState, newHealth, parseHealth } from './health-state.ts'

const kFile = 'health.json'

/** Whether a file of a container's directory says something of its health: its state says which run that is of. */
export function isOfHealth(name: string): boolean {
  return name === kFile || name === kStateFile
}

/** Health of a container's last run; `undefined` where it has no check or never ran. */
export async function readHealth(dir: string, { record, state }: StoredContainer): Promise<HealthState | undefined> {
  if (record.health === undefined || state.startedAt === null) return undefined
  const text = await readIfThere(join(dir, kFile))
  const found = text === undefined ? undefined : parseHealth(text)
  // Of an earlier run: nobody has looked yet.
  return found?.run === state.startedAt ? found : newHealth(state.startedAt)
}

/**
 * Writes health, unless the container has been removed. One process does: the one that looks after the container. After a power cut no
 * run is there any more that it could tell of.
 */
export async function writeHealth(dir: string, tmpPath: string, health: HealthState): Promise<void> {
  try {
    await replaceFile(tmpPath, join(dir, kFile), `${JSON.stringify(health)}\n`)
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
  }
}
