import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno, makeDirectory } from './atomic.ts'
import { statIfThere } from './files.ts'
import type { StoreLayout } from './layout.ts'
import { FileLock, openLockFile, tryLockExisting } from './lock.ts'
import type { StoreNative } from './native.ts'
import { makePrivateDirectory } from './private-files.ts'
import { removeTree } from './remove-tree.ts'

/** Writable layer of a container: overlay's upper and work directories. */
export interface Scratch {
  /** What holds both. */
  readonly dir: string
  readonly upper: string
  readonly work: string
  /** Removes the slot. Call it when no mount uses it any more. */
  remove(): Promise<void>
}

/**
 * One open engine's place on disk. As long as the process lives, it holds a lock on `sessions/<id>.lock`; whoever can take that
 * lock knows that the session is dead and that its directory and its entries in tmp/ may go.
 */
export class Session {
  readonly id: string
  readonly dir: string
  readonly #layout: StoreLayout
  readonly #lock: FileLock
  #nextSlot = 0
  #nextName = 0

  private constructor(id: string, layout: StoreLayout, lock: FileLock) {
    this.id = id
    this.dir = join(layout.sessions, id)
    this.#layout = layout
    this.#lock = lock
  }

  static newId(): string {
    return randomBytes(8).toString('hex')
  }

  static async open(layout: StoreLayout, native: StoreNative, id: string): Promise<Session> {
    const lock = await lockNewFile(layout, native, id)
    const session = new Session(id, layout, lock)
    // After the lock: a directory that others see always has a holder, or a dead one.
    await makePrivateDirectory(session.dir)
    return session
  }

  /** Descriptor whose lock marks this session as alive. A process that inherits it keeps the session alive. */
  get lockFd(): number {
    return this.#lock.fd
  }

  /** Where to note the cgroup directories of this session's containers, one path a line, for whoever repairs after it. */
  get cgroupsFile(): string {
    return join(this.dir, 'cgroups')
  }

  /** Where to note processes as JSON, for whoever repairs after this session. */
  get pidsFile(): string {
    return join(this.dir, 'pids')
  }

  /** A path in tmp/ that nobody else uses, and that repair ties to this session. */
  tmpPath(label: string): string {
    return join(this.#layout.tmp, `${this.id}.${label}-${this.#nextName++}`)
  }

  /**
   * Makes the directories for one ephemeral container.
   *
   * @param upperMode - permission bits of the container's root directory. @default 0o755
   */
  async createScratch(upperMode = 0o755): Promise<Scratch> {
    const dir = join(this.dir, String(this.#nextSlot++))
    const upper = join(dir, 'upper')
    const work = join(dir, 'work')
    await makePrivateDirectory(dir)
    await Promise.all([makeDirectory(upper, upperMode), makePrivateDirectory(work)])
    return { dir, upper, work, remove: () => removeTree(dir) }
  }

  /** Names the directories for one ephemeral container; whoever uses them makes them, `dir` first. Touches nothing. */
  reserveScratch(): Scratch {
    const dir = join(this.dir, String(this.#nextSlot++))
    return { dir, upper: join(dir, 'upper'), work: join(dir, 'work'), remove: () => removeTree(dir) }
  }

  /** Removes the session's directory and ends its lock. */
  async close(): Promise<void> {
    try {
      await removeTree(this.dir)
      // Forced: whoever removed the whole root meanwhile took it along.
      await rm(join(this.#layout.sessions, `${this.id}.lock`), { force: true })
    } finally {
      await this.#lock.release()
    }
  }
}

/** Tells whether the process of a session lives: nobody else can lock its file. */
export async function isSessionAlive(layout: StoreLayout, native: StoreNative, id: string): Promise<boolean> {
  const path = join(layout.sessions, `${id}.lock`)
  const lock = await tryLockExisting(native, path)
  if (lock !== undefined) {
    await lock.release()
    return false
  }
  return (await statIfThere(path)) !== undefined
}

async function lockNewFile(layout: StoreLayout, native: StoreNative, id: string): Promise<FileLock> {
  const path = join(layout.sessions, `${id}.lock`)
  for (;;) {
    const file = await openLockFile(path, constants.O_EXCL)
    // Another process's repair may see the file before it is locked, take it for a dead session's, and unlink it.
    if (native.ofdLock(file.fd, 'write') && (await statIfThere(path))?.ino === (await file.stat()).ino)
      return new FileLock(file)
    await file.close()
    await unlink(path).catch((error: unknown) => {
      if (!isErrno(error, 'ENOENT')) throw error
    })
  }
}
