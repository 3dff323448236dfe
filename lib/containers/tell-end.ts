// SPDX-License-Identifier: MIT
import { join } from 'node:path'
import type { EventLog } from '../events/event-log.ts'
import { readIfThere } from '../store/files.ts'
import { writePrivateFile } from '../store/private-files.ts'
import { labelsOf } from './labels.ts'
import { type ContainerRecord, parseRecord } from './record.ts'
import type { EndedState, ProcessState } from './resolve-state.ts'

/** A run of a container that has ended: its state as it was written, and what its end makes of that. */
export interface EndedRun {
  readonly state: ProcessState & { readonly name?: string | undefined; readonly startedAt?: string | null | undefined }
  readonly end: EndedState
}

/**
 * Tells that a container has ended, unless somebody has. Its lock must be held. Whoever is killed before it is noted that this was
 * told leaves it to the next one, which tells it again; readers know a run by its name.
 */
export async function tellEnd(events: EventLog, dir: string, id: string, { state, end }: EndedRun): Promise<void> {
  const run = `${state.pid} ${state.startTimeTicks} ${state.bootId}`
  if ((await readIfThere(join(dir, 'told'))) === run) return
  const text = await readIfThere(join(dir, 'container.json'))
  const record = text === undefined ? undefined : parseRecord(text)
  const common = { type: 'container' as const, id, name: state.name ?? '', time: end.finishedAt, run }
  const attributes = record === undefined ? {} : eventAttributes(record)
  if (end.oomKilled) void events.tell({ ...common, action: 'oom', attributes })
  const exit = {
    exitCode: String(end.exitCode),
    signal: end.killSignal ?? undefined,
    execDuration: secondsBetween(state.startedAt, end.finishedAt),
  }
  await events.tell({ ...common, action: 'die', attributes: { ...attributes, ...exit } })
  // A disk that is full keeps no container from being started or removed.
  await writePrivateFile(join(dir, 'told'), run).catch(() => undefined)
}

/** What every event of a container says of it. */
export function eventAttributes(record: ContainerRecord): Record<string, string> {
  return { ...labelsOf(record), image: record.image.reference ?? record.image.id ?? 'host' }
}

/** As Docker: whole seconds. */
function secondsBetween(startedAt: string | null | undefined, finishedAt: string): string | undefined {
  if (typeof startedAt !== 'string') return undefined
  return String(Math.max(0, Math.floor((Date.parse(finishedAt) - Date.parse(startedAt)) / 1000)))
}
