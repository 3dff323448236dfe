import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { TimeoutError } from '../errors.ts'
import { isErrno } from './atomic.ts'
import type { StoreNative } from './native.ts'
import { openPrivateFile } from './private-files.ts'

const kFirstDelayMs = 1
const kLongestDelayMs = 25

/** A held lock. It ends with `release()`, or with the process. */
export class FileLock {
  readonly #file: FileHandle

  constructor(file: FileHandle) {
    this.#file = file
  }

  get fd(): number {
    return this.#file.fd
  }

  /** Gives the lock back. Closing the description drops it, so there is no separate unlock that could fail. */
  async release(): Promise<void> {
    await this.#file.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release()
  }
}

/** How to take a lock. */
export interface LockOptions {
  /** `read` is shared among readers. @default 'write' */
  mode?: 'read' | 'write'
  /** @default 30000 */
  timeoutMs?: number
  signal?: AbortSignal | undefined
}

/**
 * Takes a lock on a file, waiting with growing pauses while another process or another caller in this one holds it.
 *
 * The file is made when absent and never removed, because removing a lock file that others may be opening splits the lock.
 *
 * @throws {TimeoutError} when it is not free in time; rejects with `signal.reason` on abort.
 */
export async function acquireLock(native: StoreNative, path: string, options: LockOptions = {}): Promise<FileLock> {
  const { mode = 'write', timeoutMs = 30_000, signal } = options
  signal?.throwIfAborted()
  const file = await openLockFile(path)
  try {
    const deadline = performance.now() + timeoutMs
    for (
      let pauseMs = kFirstDelayMs;
      !native.ofdLock(file.fd, mode);
      pauseMs = Math.min(pauseMs * 2, kLongestDelayMs)
    ) {
      if (performance.now() > deadline) throw new TimeoutError(`Waiting for the lock ${path}`, timeoutMs)
      await pause(pauseMs * (0.5 + Math.random()), signal)
    }
    return new FileLock(file)
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Takes a write lock if it is free right now. @returns `undefined` when somebody holds it, or the file does not exist. */
export async function tryLockExisting(native: StoreNative, path: string): Promise<FileLock | undefined> {
  let file: FileHandle
  try {
    file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  if (native.ofdLock(file.fd, 'write')) return new FileLock(file)
  await file.close()
  return undefined
}

/** Opens a lock file for reading and writing, which write locks need. */
export async function openLockFile(path: string, flags = 0): Promise<FileHandle> {
  if ((flags & constants.O_EXCL) === 0) {
    try {
      return await open(path, constants.O_RDWR | constants.O_NOFOLLOW)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
    }
  }
  return openPrivateFile(path, constants.O_RDWR | flags)
}

/** Waits. Rejects with `signal.reason` on abort. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(ms, undefined, signal === undefined ? {} : { signal })
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : error
  }
}
