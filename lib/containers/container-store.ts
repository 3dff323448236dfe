// SPDX-License-Identifier: MIT
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ConflictError, NotFoundError, WherryError } from '../errors.ts'
import { signalName } from '../oci/signals.ts'
import { isErrno, writeFileAtomic } from '../store/atomic.ts'
import { readBootId } from '../store/container-state.ts'
import { namesIn } from '../store/files.ts'
import { acquireLock, type FileLock } from '../store/lock.ts'
import type { StoreNative } from '../store/native.ts'
import type { Store } from '../store/store.ts'
import { processStatus } from './process-status.ts'
import {
  type ContainerRecord,
  type ContainerState,
  type ExitRecord,
  parseExitRecord,
  parseRecord,
  parseState,
} from './record.ts'

/** A container as it is on disk and in the process table. */
export interface StoredContainer {
  readonly record: ContainerRecord
  readonly state: ContainerState
  readonly lastExit: ExitRecord | undefined
}

/** The launcher reaps first and writes then. */
const kRecordDelayMs = 50
const kUnknownEnd = { exitCode: 137, killSignal: 'SIGKILL', oomKilled: false } as const

/** The containers of a root, `containers/<id>/`. Any number of processes may use them. */
export class ContainerStore {
  readonly #store: Store
  readonly #native: StoreNative

  constructor(store: Store, native: StoreNative) {
    this.#store = store
    this.#native = native
  }

  directory(id: string): string {
    return join(this.#store.layout.containers, id)
  }

  /**
   * Adds a container.
   *
   * @throws {ConflictError} when another one has its name.
   */
  async add(record: ContainerRecord, state: ContainerState): Promise<void> {
    const scratch = this.#store.session.tmpPath('container')
    await mkdir(scratch, { mode: 0o700 })
    try {
      await writeFile(join(scratch, 'container.json'), `${JSON.stringify(record)}\n`, { mode: 0o600 })
      await writeFile(join(scratch, 'state.json'), `${JSON.stringify(state)}\n`, { mode: 0o600 })
      await using _names = await this.#store.lock('containers')
      await this.#checkName(state.name, record.id)
      await rename(scratch, this.directory(record.id))
    } catch (error) {
      await rm(scratch, { recursive: true, force: true })
      throw error
    }
  }

  /** Gives a container another name. Its lock must be held. @throws {ConflictError} when another one has it. */
  async rename(id: string, name: string): Promise<void> {
    await using _names = await this.#store.lock('containers')
    await this.#checkName(name, id)
    const { state } = await this.read(id)
    await this.write(id, { ...state, name })
  }

  /** Holds a container still: for a change of its state. @throws {NotFoundError} when it is gone. */
  async lock(id: string, signal?: AbortSignal): Promise<FileLock> {
    try {
      const lock = await acquireLock(this.#native, join(this.directory(id), 'lock'), { signal })
      // Removed while we waited: then what we have locked is in the trash.
      if ((await namesIn(this.directory(id))).includes('state.json')) return lock
      await lock.release()
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
    }
    throw noContainer(id)
  }

  /** All ids, in no order. */
  async ids(): Promise<string[]> {
    return (await namesIn(this.#store.layout.containers)).filter((name) => /^[0-9a-f]{64}$/.test(name))
  }

  /** All containers, the youngest first; those that are removed meanwhile are left out. */
  async list(): Promise<StoredContainer[]> {
    const all = await Promise.all((await this.ids()).map((id) => this.read(id).catch(ignoreAbsent)))
    return all
      .filter((each) => each !== undefined)
      .sort((a, b) => (a.record.createdAt < b.record.createdAt ? 1 : a.record.createdAt > b.record.createdAt ? -1 : 0))
  }

  /**
   * Finds a container by name, id or the start of its id, as Docker does: a name goes before the start of an id.
   *
   * @throws {NotFoundError} @throws {ConflictError} when the start fits several.
   */
  async find(nameOrId: string): Promise<StoredContainer> {
    const ids = await this.ids()
    if (ids.includes(nameOrId)) return this.read(nameOrId)
    for (const id of ids) {
      const found = await this.read(id).catch(ignoreAbsent)
      if (found?.state.name === nameOrId) return found
    }
    const matches = /^[0-9a-f]+$/.test(nameOrId) ? ids.filter((id) => id.startsWith(nameOrId)) : []
    if (matches.length > 1) {
      const message = `The id ${nameOrId} fits ${matches.length} containers: ${matches.map((id) => id.slice(0, 12)).join(', ')}.`
      throw new ConflictError(message, 'give more of its digits')
    }
    if (matches[0] === undefined) throw noContainer(nameOrId)
    return this.read(matches[0])
  }

  /** Reads a container, and looks whether it still runs. @throws {NotFoundError} */
  async read(id: string): Promise<StoredContainer> {
    const dir = this.directory(id)
    const [recordText, stateText] = await Promise.all([
      readIfThere(dir, 'container.json'),
      readIfThere(dir, 'state.json'),
    ])
    if (recordText === undefined || stateText === undefined) throw noContainer(id)
    const [record, state] = [parseRecord(recordText), parseState(stateText)]
    if (record === undefined || state === undefined) {
      throw new WherryError(`The files of container ${id} cannot be read.`, {
        code: 'ERR_CONTAINER_DAMAGED',
        hint: `remove ${dir}`,
      })
    }
    return this.#resolve(dir, record, state)
  }

  /** Writes a state. The container's lock must be held. */
  async write(id: string, state: ContainerState): Promise<void> {
    const target = join(this.directory(id), 'state.json')
    await writeFileAtomic(this.#store.session.tmpPath('state'), target, `${JSON.stringify(state)}\n`)
  }

  /** Forgets the end of an earlier run. The container's lock must be held. */
  async clearExit(id: string): Promise<void> {
    await rm(join(this.directory(id), 'exit'), { force: true })
  }

  /** Takes a container away; its files are deleted in the background. The container's lock must be held. */
  async remove(id: string): Promise<void> {
    await this.#store.discard(this.directory(id))
  }

  /** Whether a container that was running still does; if not, how it ended. */
  async #resolve(dir: string, record: ContainerRecord, state: ContainerState): Promise<StoredContainer> {
    let lastExit = await readExit(dir)
    if (state.status === 'created' || state.status === 'exited') return { record, state, lastExit }
    if (lastExit?.pid !== state.pid && !(await isAlive(state))) {
      await delay(kRecordDelayMs)
      lastExit = await readExit(dir)
      if (lastExit?.pid !== state.pid) lastExit = undefined
      return { record, state: ended(state, lastExit), lastExit }
    }
    if (lastExit?.pid !== state.pid) return { record, state, lastExit: undefined }
    return { record, state: ended(state, lastExit), lastExit }
  }

  async #checkName(name: string, id: string): Promise<void> {
    for (const other of await this.ids()) {
      if (other === id) continue
      const found = await this.read(other).catch(ignoreAbsent)
      if (found?.state.name !== name) continue
      const message = `The name ${name} belongs to container ${other.slice(0, 12)}.`
      throw new ConflictError(message, 'remove or rename that container, or choose another name')
    }
  }
}

/** A launcher that was killed takes its containers along and writes nothing. */
function ended(state: ContainerState, exit: ExitRecord | undefined): ContainerState {
  const end =
    exit === undefined
      ? kUnknownEnd
      : {
          exitCode: exit.exitCode ?? 128 + (exit.signal ?? 0),
          killSignal: exit.signal === null ? null : signalName(exit.signal),
          oomKilled: exit.oomKills > 0,
        }
  const finishedAt = new Date(exit?.finishedMs ?? Date.now()).toISOString()
  return { ...state, ...end, status: 'exited', pid: null, startTimeTicks: null, bootId: null, finishedAt }
}

async function isAlive({ pid, startTimeTicks, bootId }: ContainerState): Promise<boolean> {
  if (pid === null || (bootId !== null && bootId !== (await readBootId()))) return false
  const status = await processStatus(pid)
  // A zombie is about to be reaped, and its end to be written down.
  return status !== undefined && (startTimeTicks === null || status.startTimeTicks === startTimeTicks)
}

async function readExit(dir: string): Promise<ExitRecord | undefined> {
  const text = await readIfThere(dir, 'exit')
  return text === undefined ? undefined : parseExitRecord(text)
}

async function readIfThere(dir: string, name: string): Promise<string | undefined> {
  try {
    return await readFile(join(dir, name), 'utf8')
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}

function ignoreAbsent(error: unknown): undefined {
  if (error instanceof NotFoundError) return undefined
  throw error
}

function noContainer(name: string): NotFoundError {
  return new NotFoundError(`There is no container ${name}.`, 'Container.list({ all: true }) names those that there are')
}
