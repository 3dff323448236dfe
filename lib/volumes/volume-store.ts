// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto'
import { fstat } from 'node:fs'
import { readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { ConflictError, NotFoundError, TimeoutError, WherryError } from '../errors.ts'
import type { VolumePlace } from '../oci/volume-mounts.ts'
import { isErrno, makeDirectory, syncDirectory, writeFileAtomic } from '../store/atomic.ts'
import { namesIn, readIfThere, statIfThere } from '../store/files.ts'
import { parseJson, textsByName } from '../store/json.ts'
import { acquireLock, type FileLock, type LockOptions } from '../store/lock.ts'
import type { StoreNative } from '../store/native.ts'
import { makePrivateDirectory } from '../store/private-files.ts'
import { removeTree } from '../store/remove-tree.ts'
import type { Store } from '../store/store.ts'

/** What a volume was made as: `volumes/<name>/volume.json`, which never changes. */
export interface VolumeRecord {
  readonly formatVersion: 1
  readonly name: string
  /** ISO 8601. */
  readonly createdAt: string
  readonly labels: Readonly<Record<string, string>>
  /** Whether it was made for one container, without a name of its own. */
  readonly anonymous: boolean
}

const recordSchema = v.looseObject({
  formatVersion: v.literal(1),
  name: v.string(),
  createdAt: v.string(),
  labels: textsByName,
  anonymous: v.boolean(),
})

const kDataMode = 0o755
const fileStatus = promisify(fstat)

/**
 * The volumes of a root, `volumes/<name>/`: the files in `_data`, `volume.json`, a lock `users` that those share who are about to
 * mount it, and a lock `filler` for whoever fills it. Any number of processes may use them.
 */
export class VolumeStore {
  readonly #store: Store
  readonly #native: StoreNative

  constructor(store: Store, native: StoreNative) {
    this.#store = store
    this.#native = native
  }

  /** A name for an anonymous volume. */
  static newName(): string {
    return randomBytes(32).toString('hex')
  }

  /** Where the files of a volume lie. */
  dataPath(name: string): string {
    return join(this.#directory(name), '_data')
  }

  #directory(name: string): string {
    return join(this.#store.layout.volumes, name)
  }

  /** Makes a volume, where there is none of the name. @returns the one that is there then. */
  async ensure(name: string, settings: Pick<VolumeRecord, 'labels' | 'anonymous'>): Promise<VolumeRecord> {
    const found = await this.#readIfThere(name)
    if (found !== undefined) return found
    const record = { formatVersion: 1, name, createdAt: new Date().toISOString(), ...settings } as const
    const scratch = this.#store.session.tmpPath('volume')
    await makePrivateDirectory(scratch)
    try {
      await makeDirectory(join(scratch, '_data'), kDataMode)
      const text = `${JSON.stringify(record)}\n`
      await writeFileAtomic(this.#store.session.tmpPath('volume-record'), join(scratch, 'volume.json'), text)
      await rename(scratch, this.#directory(name))
      await syncDirectory(this.#store.layout.volumes)
      await this.#tell('create', name)
      return record
    } catch (error) {
      await removeTree(scratch)
      // Somebody else was first.
      if (isErrno(error, 'ENOTEMPTY', 'EEXIST')) return await this.read(name)
      throw error
    }
  }

  /** @throws {NotFoundError} */
  async read(name: string): Promise<VolumeRecord> {
    const record = await this.#readIfThere(name)
    if (record === undefined) throw noVolume(name)
    return record
  }

  async #readIfThere(name: string): Promise<VolumeRecord | undefined> {
    const text = await readIfThere(join(this.#directory(name), 'volume.json'))
    if (text === undefined) return undefined
    const record = parseJson(recordSchema, text)
    if (record === undefined) {
      throw new WherryError(`The record of volume ${name} cannot be read.`, {
        code: 'ERR_VOLUME_DAMAGED',
        hint: `save what is in ${this.dataPath(name)}, and remove ${this.#directory(name)}`,
      })
    }
    return record
  }

  /** All volumes by name; those that are removed meanwhile are left out. */
  async list(): Promise<VolumeRecord[]> {
    const names = (await namesIn(this.#store.layout.volumes)).sort()
    const all = await Promise.all(names.map((name) => this.#readIfThere(name)))
    return all.filter((record) => record !== undefined)
  }

  /** Keeps a volume from being removed, and makes it where there is none. Whoever runs something with it holds it meanwhile. */
  async hold(
    name: string,
    anonymous: boolean,
    signal?: AbortSignal,
  ): Promise<{ record: VolumeRecord; lock: FileLock }> {
    for (;;) {
      const record = await this.ensure(name, { labels: {}, anonymous })
      const lock = await this.#lock(name, 'users', { mode: 'read', signal })
      if (lock !== undefined) return { record, lock }
    }
  }

  /** For whoever fills it, or looks whether it has been filled. @throws {NotFoundError} */
  async fillerLock(name: string, signal?: AbortSignal): Promise<FileLock> {
    const lock = await this.#lock(name, 'filler', { signal, timeoutMs: kFillMs })
    if (lock === undefined) throw noVolume(name)
    return lock
  }

  /** A file that is there while a volume is being filled; it outlives a filler that is killed. */
  fillingMark(name: string): string {
    return join(this.#directory(name), 'filling')
  }

  /** Whether nothing is in a volume. One that we may not look into has an owner, and so has been used. */
  async isEmpty(name: string): Promise<boolean> {
    try {
      return (await readdir(this.dataPath(name))).length === 0
    } catch (error) {
      if (isErrno(error, 'EACCES')) return false
      throw error
    }
  }

  /**
   * Removes a volume that nobody uses; its files are deleted in the background.
   *
   * @param users - names containers that have it.
   * @throws {ConflictError} when it is in use. @throws {NotFoundError}
   */
  async remove(name: string, users: () => Promise<readonly string[]>): Promise<void> {
    await this.read(name)
    await using lock = await this.#lock(name, 'users', { timeoutMs: 0 }).catch((error: unknown) => {
      throw error instanceof TimeoutError ? inUse(name, 'by a container that runs or is being made') : error
    })
    if (lock === undefined) throw noVolume(name)
    const [user, ...others] = await users()
    if (user !== undefined) {
      throw inUse(name, `by container ${user.slice(0, 12)}${others.length === 0 ? '' : ` and ${others.length} more`}`)
    }
    await this.#store.discard(this.#directory(name))
    await this.#tell('destroy', name)
  }

  #tell(action: 'create' | 'destroy', name: string): Promise<void> {
    return this.#store.events.tell({ type: 'volume', action, id: name, name })
  }

  /** @returns `undefined` when the volume has been removed meanwhile, and maybe made anew. */
  async #lock(name: string, file: string, options: LockOptions): Promise<FileLock | undefined> {
    const path = join(this.#directory(name), file)
    let lock: FileLock
    try {
      lock = await acquireLock(this.#native, path, options)
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
    const [ours, theirs] = [await fileStatus(lock.fd), await statIfThere(path)]
    if (ours.ino === theirs?.ino && ours.dev === theirs.dev) return lock
    await lock.release()
    return undefined
  }

  /** Where a volume is to be mounted from. */
  place({ name, createdAt }: VolumeRecord): VolumePlace {
    return { path: this.dataPath(name), createdAt }
  }
}

/** Filling may take as long as copying the files of an image. */
const kFillMs = 3_600_000

function inUse(name: string, how: string): ConflictError {
  return new ConflictError(`The volume ${name} is in use ${how}.`, 'remove that container first')
}

function noVolume(name: string): NotFoundError {
  return new NotFoundError(`There is no volume ${name}.`, 'Volume.list() names those that there are')
}
