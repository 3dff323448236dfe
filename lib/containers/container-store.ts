// SPDX-License-Identifier: MIT
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ConflictError, NotFoundError, WherryError } from '../errors.ts'
import type { NewEvent } from '../events/event.ts'
import { isErrno, writeFileAtomic } from '../store/atomic.ts'
import { namesIn, readIfThere, statIfThere } from '../store/files.ts'
import { acquireLock, type FileLock, type LockOptions } from '../store/lock.ts'
import type { StoreNative } from '../store/native.ts'
import { makePrivateDirectory, writePrivateFile } from '../store/private-files.ts'
import { isSessionAlive } from '../store/session.ts'
import type { Store } from '../store/store.ts'
import { VolumeStore } from '../volumes/volume-store.ts'
import { type ContainerRecord, type ContainerState, type ExitRecord, parseRecord, parseState } from './record.ts'
import { type IsSessionAlive, isActive, isAttended, readEnd, readExit } from './resolve-state.ts'
import { type EndedRun, eventAttributes, tellEnd } from './tell-end.ts'

/** A container as it is on disk and in the process table. */
export interface StoredContainer {
  readonly record: ContainerRecord
  readonly state: ContainerState
  readonly lastExit: ExitRecord | undefined
  /** Its last run, where that has ended and nobody has written it down. */
  readonly ended?: EndedRun | undefined
}

/** Of containers that are gone, those whose end is remembered. */
const kMaxRemembered = 1000
/** Who looks on reads one file; who is stopped in the middle of it must not hold up everything. */
const kOnlookersMs = 5_000
/** Programs have ended before their container: only what is done about it may take a moment. */
const kProgramsMs = 200

/** The containers of a root, `containers/<id>/`. Any number of processes may use them. */
export class ContainerStore {
  readonly #store: Store
  readonly #native: StoreNative
  /** Files of a state never change: each change is another file. */
  readonly #states = new Map<string, { readonly version: string; readonly state: ContainerState }>()
  readonly #records = new Map<string, ContainerRecord>()
  readonly #remembered = new Map<string, StoredContainer>()
  readonly #background = new Set<Promise<unknown>>()
  readonly volumes: VolumeStore
  /** Containers whose ends this process is about to tell. */
  readonly #isSessionAlive: IsSessionAlive
  #isClosing = false
  #renames = 0
  /** Of programs in containers that this process has started: each until its end has been told. */
  readonly #programs = new Map<string, Set<Promise<void>>>()
  readonly #settling = new Map<string, Promise<unknown>>()

  constructor(store: Store, native: StoreNative) {
    this.#store = store
    this.#native = native
    this.#isSessionAlive = (session) =>
      session === store.session.id ? Promise.resolve(!this.#isClosing) : isSessionAlive(store.layout, native, session)
    this.volumes = new VolumeStore(store, native)
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
    await makePrivateDirectory(scratch)
    try {
      await writePrivateFile(join(scratch, 'container.json'), `${JSON.stringify(record)}\n`)
      await writePrivateFile(join(scratch, 'state.json'), `${JSON.stringify(state)}\n`)
      await using _names = await this.#store.lock('containers')
      await this.#checkName(state.name, record.id)
      await rename(scratch, this.directory(record.id))
      await this.tell({ record, state }, 'create')
    } catch (error) {
      await rm(scratch, { recursive: true, force: true })
      throw error
    }
  }

  /** How many containers this engine has renamed: whoever remembers one looks at its name again when this has changed. */
  get renames(): number {
    return this.#renames
  }

  /** Gives a container another name. Its lock must be held. @throws {ConflictError} when another one has it. */
  async rename(id: string, name: string): Promise<void> {
    await using _names = await this.#store.lock('containers')
    await this.#checkName(name, id)
    const stored = await this.settleEndLocked(id)
    await this.write(id, { ...stored.state, name })
    this.#renames++
    await this.tell({ ...stored, state: { ...stored.state, name } }, 'rename', { oldName: stored.state.name })
  }

  /** Tells what has happened to a container. */
  tell(about: ToldOf, action: string, attributes: ToldAttributes = {}): Promise<void> {
    return this.#store.events.tell(eventOf(about, action, attributes))
  }

  /** As {@link tell}, for what happens often; see {@link EventLog.tellLater}. */
  tellLater(about: ToldOf, action: string, attributes: ToldAttributes): void {
    this.#store.events.tellLater(eventOf(about, action, attributes))
  }

  /** Before the end of a container is told, and before the engine closes, that of a program in it is. */
  followProgram(id: string, told: Promise<void>): void {
    const programs = this.#programs.get(id) ?? new Set()
    this.#programs.set(id, programs.add(told))
    void told.finally(() => {
      programs.delete(told)
      if (programs.size === 0 && this.#programs.get(id) === programs) this.#programs.delete(id)
    })
  }

  /** Waits until the ends of programs are told, in one container or in all. What goes on nevertheless holds up nobody. */
  async programsTold(id?: string): Promise<void> {
    const all = id === undefined ? [...this.#programs.values()] : [this.#programs.get(id) ?? new Set()]
    const told = all.flatMap((programs) => [...programs])
    if (told.length > 0) await Promise.race([Promise.all(told), delay(kProgramsMs, undefined, { ref: false })])
  }

  /** Tells of a container's end, where it has ended and nobody has told so yet. @throws {NotFoundError} */
  settleEnd(id: string): Promise<StoredContainer> {
    const done = this.#settleEnd(id).finally(() => this.#settling.delete(id))
    this.#settling.set(id, done)
    return done
  }

  /** As {@link settleEnd}, by who holds the container's lock: before its state is written anew, or it is removed. */
  async settleEndLocked(id: string): Promise<StoredContainer> {
    const stored = await this.read(id)
    if (stored.ended === undefined) return stored
    await this.programsTold(id)
    await tellEnd(this.#store.events, this.directory(id), id, stored.ended)
    // Without record of its end, the time of it would be another one each time that somebody looks.
    if (stored.lastExit === undefined) await this.write(id, stored.state)
    return stored
  }

  async #settleEnd(id: string): Promise<StoredContainer> {
    await using _lock = await this.#lockFile(id, 'lock', {})
    return await this.settleEndLocked(id)
  }

  /** Holds a container still: for a change of its state. @throws {NotFoundError} when it is gone. */
  async lock(id: string, options: LockOptions = {}): Promise<FileLock> {
    // It is done at once; who only looks at the lock now and then would wait longer.
    await this.#settling.get(id)?.catch(() => undefined)
    return this.#lockFile(id, 'lock', options)
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
    const named = await this.#named(nameOrId, ids)
    if (named !== undefined) return this.read(named)
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
    for (;;) {
      const state = await this.#state(id)
      const record = await this.#record(id)
      if (!isActive(state)) {
        if (state.status === 'restarting' && !(await isAttended(state, this.#isSessionAlive))) {
          return { record, state: { ...state, status: 'exited' }, lastExit: await readExit(dir) }
        }
        return { record, state, lastExit: state.startedAt === null ? undefined : await readExit(dir) }
      }
      const ended = await readEnd(dir, state, this.#isSessionAlive)
      if (ended === undefined) return { record, state, lastExit: undefined }
      // An end without record may be that of an earlier run: somebody has started it again since we read the state.
      const isCurrent = ended.record !== undefined || (await this.#state(id)) === state
      if (isCurrent) {
        return { record, state: { ...state, ...ended.end }, lastExit: ended.record, ended: { state, end: ended.end } }
      }
    }
  }

  async #record(id: string): Promise<ContainerRecord> {
    let record = this.#records.get(id)
    if (record !== undefined) return record
    const text = await readIfThere(join(this.directory(id), 'container.json'))
    if (text === undefined) throw noContainer(id)
    record = parseRecord(text)
    if (record === undefined) throw this.#damaged(id)
    this.#records.set(id, record)
    return record
  }

  async #state(id: string): Promise<ContainerState> {
    const path = join(this.directory(id), 'state.json')
    const stats = await statIfThere(path)
    const version = stats === undefined ? '' : `${stats.ino} ${stats.mtimeMs} ${stats.size}`
    const known = this.#states.get(id)
    if (stats !== undefined && known?.version === version) return known.state
    this.#states.delete(id)
    const text = stats === undefined ? undefined : await readIfThere(path)
    if (text === undefined) {
      this.#records.delete(id)
      throw noContainer(id)
    }
    const state = parseState(text)
    if (state === undefined) throw this.#damaged(id)
    // What was written between the two looks has a version of its own, and is read again then.
    this.#states.set(id, { version, state })
    return state
  }

  #damaged(id: string): WherryError {
    return new WherryError(`The files of container ${id} cannot be read.`, {
      code: 'ERR_CONTAINER_DAMAGED',
      hint: `remove ${this.directory(id)}`,
    })
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
  async remove(stored: StoredContainer): Promise<void> {
    await this.#store.discard(this.directory(stored.record.id))
    await this.tell(stored, 'destroy')
  }

  /**
   * Takes a container away with the volumes that were made for it alone. Those go first: whoever is killed between the two leaves a
   * container that can be removed again. Its lock must be held.
   */
  async removeWithVolumes(stored: StoredContainer): Promise<void> {
    const { id, volumes = [] } = stored.record
    for (const { name, anonymous } of volumes) {
      if (!anonymous) continue
      try {
        await this.volumes.remove(name, async () => (await this.usersOf(name)).filter((each) => each !== id))
      } catch (error) {
        // Another container has taken it over, or it is gone.
        if (!(error instanceof ConflictError || error instanceof NotFoundError)) throw error
      }
    }
    await this.remove(stored)
  }

  /** Ids of the containers that have a volume. */
  async usersOf(volume: string): Promise<string[]> {
    const all = await this.list()
    return all
      .filter(({ record }) => record.volumes?.some(({ name }) => name === volume))
      .map(({ record }) => record.id)
  }

  /** Names of all volumes that containers have. */
  async usedVolumes(): Promise<Set<string>> {
    return new Set((await this.list()).flatMap(({ record }) => (record.volumes ?? []).map(({ name }) => name)))
  }

  /** Nothing of this engine is started again by itself from now on. */
  stopRestarts(): void {
    this.#isClosing = true
  }

  /** Does something that nobody waits for but {@link settle}. */
  inBackground(work: Promise<unknown>): void {
    const done = work.catch(() => undefined).finally(() => this.#background.delete(done))
    this.#background.add(done)
  }

  /** Waits until nothing goes on in the background. */
  async settle(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background)
  }

  /** Keeps the end of a container that is removed by itself for those of this process who ask later. */
  remember(stored: StoredContainer): void {
    const [oldest] = this.#remembered.keys()
    if (oldest !== undefined && this.#remembered.size >= kMaxRemembered) this.#remembered.delete(oldest)
    this.#remembered.set(stored.record.id, stored)
  }

  /** What {@link remember} kept. */
  remembered(id: string): StoredContainer | undefined {
    return this.#remembered.get(id)
  }

  /** A lock that whoever still wants to see how a container ended shares; see {@link ContainerStore.removeEnded}. */
  async onlooker(id: string, signal?: AbortSignal): Promise<FileLock> {
    return this.#lockFile(id, 'onlookers', { mode: 'read', signal })
  }

  /** Removes a container that is to be removed once it has ended, if that is so, and nobody looks on any more. */
  async removeEnded(id: string): Promise<void> {
    await using _onlookers = await this.#lockFile(id, 'onlookers', { timeoutMs: kOnlookersMs })
    await using _lock = await this.lock(id)
    const stored = await this.settleEndLocked(id)
    if (!stored.state.autoRemove || stored.state.status !== 'exited') return
    this.remember(stored)
    await this.removeWithVolumes(stored)
  }

  async #lockFile(id: string, name: string, options: LockOptions): Promise<FileLock> {
    try {
      const lock = await acquireLock(this.#native, join(this.directory(id), name), options)
      // Removed while we waited: then what we have locked is in the trash.
      if ((await statIfThere(join(this.directory(id), 'state.json'))) !== undefined) return lock
      await lock.release()
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
    }
    throw noContainer(id)
  }

  async #checkName(name: string, id: string): Promise<void> {
    const other = await this.#named(name, await this.ids())
    if (other === undefined || other === id) return
    const message = `The name ${name} belongs to container ${other.slice(0, 12)}.`
    throw new ConflictError(message, 'remove or rename that container, or choose another name')
  }

  /** The one of some containers that has a name. */
  async #named(name: string, ids: readonly string[]): Promise<string | undefined> {
    const names = await Promise.all(
      ids.map(async (id) => {
        try {
          return (await this.#state(id)).name === name
        } catch (error) {
          // Removed, or damaged: such a one has no name.
          if (error instanceof WherryError) return false
          throw error
        }
      }),
    )
    return ids[names.indexOf(true)]
  }
}

type ToldOf = Pick<StoredContainer, 'record' | 'state'>
type ToldAttributes = Readonly<Record<string, string | undefined>>

function eventOf({ record, state }: ToldOf, action: string, attributes: ToldAttributes): NewEvent {
  const all = { ...eventAttributes(record), ...attributes }
  return { type: 'container', action, id: record.id, name: state.name, attributes: all }
}

function ignoreAbsent(error: unknown): undefined {
  if (error instanceof NotFoundError) return undefined
  throw error
}

function noContainer(name: string): NotFoundError {
  return new NotFoundError(`There is no container ${name}.`, 'Container.list({ all: true }) names those that there are')
}
