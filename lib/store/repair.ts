import { readdir, readFile, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno, writeFileAtomic } from './atomic.ts'
import { isRunning, readContainerState } from './container-state.ts'
import type { StoreLayout } from './layout.ts'
import { tryLockExisting } from './lock.ts'
import type { StoreNative } from './native.ts'
import type { Session } from './session.ts'

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
  return { deadSessions, exitedContainers: await repairContainers(layout, session), trash }
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

async function repairContainers(layout: StoreLayout, session: Session): Promise<string[]> {
  const exited: string[] = []
  for (const id of await readdir(layout.containers)) {
    const path = join(layout.containers, id, 'state.json')
    const state = await readContainerState(path)
    if (state === undefined || !isActive(state.status) || (await isRunning(state))) continue
    const next = { ...state, status: 'exited', pid: null, finishedAt: new Date().toISOString(), exitCode: null }
    await writeFileAtomic(session.tmpPath('state'), path, `${JSON.stringify(next)}\n`)
    exited.push(id)
  }
  return exited
}

function isActive(status: string): boolean {
  return status === 'running' || status === 'paused'
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
