// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { open, readdir, readFile } from 'node:fs/promises'
import { execPath } from 'node:process'
import { fileURLToPath } from 'node:url'
import { watchHealth } from './container-health.ts'
import { endParts } from './container-management.ts'
import { Attendant } from './containers/attendant.ts'
import type { StoredContainer } from './containers/container-store.ts'
import { goesOn } from './containers/end-stored.ts'
import { startStored } from './containers/start-stored.ts'
import type { Engine } from './engine.ts'
import { TimeoutError } from './errors.ts'
import type { PublishedPort } from './options/port-options.ts'
import { returnsWithHost } from './options/restart-policy.ts'
import { readBootId } from './store/container-state.ts'
import { acquireLock, type FileLock } from './store/lock.ts'
import type { StoreNative } from './store/native.ts'
import type { Store } from './store/store.ts'

/** Keeps the attendant small: it holds little, and waits most of the time. */
const kNodeOptions = ['--max-old-space-size=64', '--max-semi-space-size=1', '--no-warnings']
/** O_CLOEXEC as /proc/self/fdinfo has it. */
const kCloseOnExec = 0o2000000

/** Looks after the containers of an engine that are not detached. */
export function engineAttendant(engine: Engine): Attendant {
  const { session } = engine.store
  return attendantOf(engine, ({ record, state }) => !record.detached && state.owner === session.id)
}

/** Looks after all containers of a root that are detached. */
export function rootAttendant(engine: Engine): Attendant {
  return attendantOf(engine, ({ record }) => record.detached)
}

function attendantOf(engine: Engine, isOurs: (stored: StoredContainer) => boolean): Attendant {
  const watch = (stored: StoredContainer, signal: AbortSignal): Promise<void> => watchHealth(engine, stored, signal)
  return new Attendant({ ...endParts(engine), runtime: () => engine.runtime(), watchHealth: watch }, isOurs)
}

/**
 * Starts a container that somebody looks after from before its program runs: one that nobody would look after must not run. See
 * {@link startStored}.
 */
export async function startAttended(
  engine: Engine,
  id: string,
  beforeProgram?: () => Promise<void>,
): Promise<readonly PublishedPort[]> {
  return startStored(engine.containers, await engine.runtime(), id, async (stored) => {
    await beforeProgram?.()
    await attend(engine, stored)
  })
}

async function attend(engine: Engine, { record, state }: StoredContainer): Promise<void> {
  if (state.restart === undefined && record.health === undefined) return
  if (record.detached) await ensureRootAttendant(engine.store, engine.native)
  else engine.attendant.attend(record.id)
}

/** Whether the attendant of the root has something to do about a container. */
export function needsRootAttendant(stored: StoredContainer, bootId: string): boolean {
  const { record, state } = stored
  if (!record.detached || (state.restart === undefined && record.health === undefined)) return false
  return goesOn(stored) || returnsWithHost(state.restart, bootId)
}

/** Starts the attendant of a root, if it has something to do and is not there: it, or the host, may have been killed. */
export async function reviveRootAttendant(engine: Engine, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  const bootId = await readBootId()
  for (const id of ids) {
    const stored = await engine.containers.read(id).catch(() => undefined)
    if (stored === undefined || !needsRootAttendant(stored, bootId)) continue
    return await ensureRootAttendant(engine.store, engine.native)
  }
}

/** Takes the place of a root's attendant. @returns `undefined` when there is one. */
export async function becomeRootAttendant(lockPath: string, native: StoreNative): Promise<FileLock | undefined> {
  try {
    return await acquireLock(native, lockPath, { timeoutMs: 0 })
  } catch (error) {
    if (error instanceof TimeoutError) return undefined
    throw error
  }
}

/** Whoever finds it there may count on it: before it goes it gives its place back, and looks once more. */
async function ensureRootAttendant(store: Store, native: StoreNative): Promise<void> {
  const place = await becomeRootAttendant(store.layout.lock('attendant'), native)
  if (place === undefined) return
  await place.release()
  await startProcess(store.root)
}

/** Starts a process that has nothing of ours: no terminal, no working directory, no descriptor. */
async function startProcess(root: string): Promise<void> {
  await using nothing = await open('/dev/null', constants.O_RDWR)
  const stdio: number[] = []
  // What this process was given without the mark would go on into the new one.
  for (let fd = 0, last = Math.max(2, ...(await inheritable())); fd <= last; fd++) stdio.push(nothing.fd)
  const program = fileURLToPath(new URL('./attendant-process.js', import.meta.url))
  const child = spawn(execPath, [...kNodeOptions, program, root], { cwd: '/', detached: true, stdio })
  child.on('error', () => undefined)
  child.unref()
}

async function inheritable(): Promise<number[]> {
  const fds = (await readdir('/proc/self/fd')).map(Number)
  const open = await Promise.all(
    fds.map(async (fd) => {
      const text = await readFile(`/proc/self/fdinfo/${fd}`, 'latin1').catch(() => '')
      const flags = /^flags:\s*(\d+)$/m.exec(text)?.[1]
      return flags !== undefined && (Number.parseInt(flags, 8) & kCloseOnExec) === 0
    }),
  )
  return fds.filter((_, at) => open[at])
}
