import { type FileHandle, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { isActive, readEnd } from '../containers/resolve-state.ts'
import { tellEnd } from '../containers/tell-end.ts'
import type { EventLog } from '../events/event-log.ts'
import { isErrno, writeFileAtomic } from './atomic.ts'
import { readContainerState } from './container-state.ts'
import type { StoreLayout } from './layout.ts'
import { FileLock, openLockFile, tryLockExisting } from './lock.ts'
import type { StoreNative } from './native.ts'
import { isSessionAlive, type Session } from './session.ts'

const kMaxNoteBytes = 1024 * 1024

/** A session whose process is gone, with what it noted for whoever cleans up after it. */
export interface DeadSession {
  readonly id: string
  /** Lines of the file `cgroups`: directories that may still exist. */
  readonly cgroups: readonly string[]
  /** Content of the file `pids` (JSON), as the session wrote it; `undefined` where it wrote none. */
  readonly pids: unknown
}

/** What a repair found. */
export interface RepairReport {
  readonly deadSessions: readonly DeadSession[]
  /** Ids of containers that were marked running and are not. */
  readonly exitedContainers: readonly string[]
  /** Ids of containers that do not run, and of those what is to be removed once it has ended. */
  readonly idleContainers: readonly { readonly id: string; readonly isOver: boolean }[]
  /** Ids of containers that are started again by themselves. */
  readonly attendedContainers: readonly string[]
  /** Paths in tmp/ that the caller deletes: what dead sessions left there, and their directories. */
  readonly trash: readonly string[]
}

/**
 * Puts right what processes left that were killed. Several processes may do this at once: each dead session is taken by the one
 * that gets its lock. Nothing of a live session is touched.
 */
export async function repairStore(parts: {
  layout: StoreLayout
  native: StoreNative
  session: Session
  events: EventLog
}): Promise<RepairReport> {
  const { layout, session } = parts
  // In this order: a session that starts after tmp/ has been listed has nothing in the listing.
  const tmpNames = await readdir(layout.tmp)
  const sessionNames = await readdir(layout.sessions)
  const live = new Set([session.id])
  const deadSessions: DeadSession[] = []
  const trash: string[] = []
  for (const id of new Set(sessionNames.map((name) => name.replace(/\.lock$/, '')))) {
    if (id === session.id) continue
    const dead = await takeDeadSession(parts, id, sessionNames.includes(`${id}.lock`))
    if (dead === undefined) live.add(id)
    else {
      deadSessions.push(dead.notes)
      trash.push(dead.trash)
    }
  }
  for (const name of tmpNames) {
    if (!live.has(name.split('.')[0] ?? '')) trash.push(join(layout.tmp, name))
  }
  const attendedContainers: string[] = []
  const containers = await repairContainers(parts, attendedContainers)
  return {
    deadSessions,
    exitedContainers: containers.filter(({ isNew }) => isNew).map(({ id }) => id),
    idleContainers: containers,
    attendedContainers,
    trash,
  }
}

async function takeDeadSession(
  parts: { layout: StoreLayout; native: StoreNative; session: Session },
  id: string,
  hasLockFile: boolean,
): Promise<{ notes: DeadSession; trash: string } | undefined> {
  const { layout, native, session } = parts
  const lockPath = join(layout.sessions, `${id}.lock`)
  const lock = await tryLockExisting(native, lockPath)
  // A directory without lock file cannot belong to a live session: the lock comes first and goes last.
  if (lock === undefined && (hasLockFile || (await exists(lockPath)))) return undefined
  try {
    const dir = join(layout.sessions, id)
    const notes = { id, cgroups: await readLines(join(dir, 'cgroups')), pids: await readJson(join(dir, 'pids')) }
    const trash = session.tmpPath('trash')
    await ignoreMissing(rename(dir, trash))
    await ignoreMissing(unlink(lockPath))
    return { notes, trash }
  } finally {
    await lock?.release()
  }
}

interface IdleContainer {
  readonly id: string
  readonly isOver: boolean
  /** Whether it was marked running. */
  readonly isNew: boolean
}

async function repairContainers(
  parts: {
    layout: StoreLayout
    native: StoreNative
    session: Session
    events: EventLog
  },
  attended: string[],
): Promise<IdleContainer[]> {
  const ids = await readdir(parts.layout.containers)
  const idle: IdleContainer[] = []
  await Promise.all(
    ids.map(async (id) => {
      const found = await repairContainer(parts, id, attended)
      if (found !== undefined) idle.push(found)
    }),
  )
  return idle
}

async function repairContainer(
  parts: { layout: StoreLayout; native: StoreNative; session: Session; events: EventLog },
  id: string,
  attended: string[],
): Promise<IdleContainer | undefined> {
  const { layout, native, session, events } = parts
  const dir = join(layout.containers, id)
  const path = join(dir, 'state.json')
  const before = await readContainerState(path)
  if (before === undefined) return undefined
  if (before.restart !== undefined) attended.push(id)
  const isOver = before.autoRemove === true
  if (!isActive(before)) return { id, isNew: false, isOver: isOver && before.status === 'exited' }
  const isAlive = (id: string): Promise<boolean> => isOpen(parts, id)
  if ((await readEnd(dir, before, isAlive)) === undefined) return undefined
  // Who holds it is about to write a state of its own.
  await using lock = await tryLockContainer(native, dir)
  if (lock === undefined) return undefined
  const state = await readContainerState(path)
  const ended = state === undefined || !isActive(state) ? undefined : await readEnd(dir, state, isAlive)
  if (state === undefined || ended === undefined) return undefined
  await tellEnd(events, dir, id, { state, end: ended.end })
  await writeFileAtomic(session.tmpPath('state'), path, `${JSON.stringify({ ...state, ...ended.end })}\n`)
  return { id, isNew: true, isOver }
}

function isOpen(
  { layout, native, session }: { layout: StoreLayout; native: StoreNative; session: Session },
  id: string,
): Promise<boolean> {
  return id === session.id ? Promise.resolve(true) : isSessionAlive(layout, native, id)
}

async function tryLockContainer(native: StoreNative, dir: string): Promise<FileLock | undefined> {
  let file: FileHandle
  try {
    file = await openLockFile(join(dir, 'lock'))
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
  if (native.ofdLock(file.fd, 'write')) return new FileLock(file)
  await file.close()
  return undefined
}

async function readLines(path: string): Promise<string[]> {
  return (await readNote(path))?.split('\n').filter((line) => line !== '') ?? []
}

async function readJson(path: string): Promise<unknown> {
  const text = await readNote(path)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as unknown
  } catch {
    // Killed in mid-write: there is nothing to learn from it.
    return undefined
  }
}

async function readNote(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).slice(0, kMaxNoteBytes)
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR')) return undefined
    throw error
  }
}

async function exists(path: string): Promise<boolean> {
  return (await readNote(path)) !== undefined
}

async function ignoreMissing(work: Promise<void>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
  }
}
