// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import { type FileHandle, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestAlgorithm, digestHex, isDigest } from '../oci/digest.ts'
import { isErrno, makeDirectory } from './atomic.ts'
import { namesIn, statIfThere, unlinkIfThere } from './files.ts'
import type { StoreLayout } from './layout.ts'
import { openLockFile, pause } from './lock.ts'
import type { StoreNative } from './native.ts'
import { openPrivateFile } from './private-files.ts'

const kFirstDelayMs = 2
const kLongestDelayMs = 50
const kWholeSuffix = '.whole'

/** A blob that is not in the store yet. */
export interface PartialBlob {
  readonly digest: Digest
  readonly sizeBytes: number
  /** When it was last written to, as in `Date.now()`. */
  readonly changedMs: number
}

/** The right to download one blob: no other process and no other caller of this one has it. */
export class BlobLock {
  readonly #path: string
  readonly #file: FileHandle

  constructor(path: string, file: FileHandle) {
    this.#path = path
    this.#file = file
  }

  /** Gives the lock back. Its file goes with it: there would be one per blob that was ever downloaded. */
  async release(): Promise<void> {
    try {
      // While it is held: whoever waits finds out that the file it has opened is not the one at this path any more.
      await unlinkIfThere(this.#path)
    } finally {
      await this.#file.close()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release()
  }
}

/**
 * Blobs on their way into the store, each changed only by who holds its lock:
 *
 * - `partial/<algorithm>-<hex>` holds the first bytes of its blob, as far as anybody knows: who completes it verifies all of it.
 *   It stays when a download is interrupted, so that the next one goes on.
 * - `partial/<algorithm>-<hex>.whole` was verified and waits for the rest of its image.
 */
export class PartialStore {
  readonly #layout: StoreLayout
  readonly #native: StoreNative

  constructor(layout: StoreLayout, native: StoreNative) {
    this.#layout = layout
    this.#native = native
  }

  get dir(): string {
    return this.#layout.partial
  }

  path(digest: Digest): string {
    return join(this.dir, `${digestAlgorithm(digest)}-${digestHex(digest)}`)
  }

  /**
   * Takes the lock of a blob, for as long as its download lasts.
   *
   * @param onWait called now and then while somebody else has it. @throws `signal.reason` on abort.
   */
  async lock(digest: Digest, options: { signal?: AbortSignal; onWait?: () => void } = {}): Promise<BlobLock> {
    const { signal, onWait } = options
    for (let pauseMs = kFirstDelayMs; ; pauseMs = Math.min(pauseMs * 2, kLongestDelayMs)) {
      signal?.throwIfAborted()
      const lock = await this.#tryLock(this.#lockPath(digest))
      if (lock !== undefined) return lock
      onWait?.()
      await pause(pauseMs * (0.5 + Math.random()), signal)
    }
  }

  wholePath(digest: Digest): string {
    return `${this.path(digest)}${kWholeSuffix}`
  }

  /** Bytes that are there, whole or not; `undefined` where nothing is. */
  async size(digest: Digest): Promise<number | undefined> {
    return (await this.wholeSize(digest)) ?? (await sizeOf(this.path(digest)))
  }

  /** Bytes of a blob that is whole and was verified; `undefined` where there is none. */
  wholeSize(digest: Digest): Promise<number | undefined> {
    return sizeOf(this.wholePath(digest))
  }

  /** Marks a file as whole, after it was verified and written to the disk. Hold the lock. */
  async complete(digest: Digest): Promise<void> {
    await rename(this.path(digest), this.wholePath(digest))
  }

  /** Opens the file for writing, made when absent. Hold the lock. */
  async open(digest: Digest): Promise<FileHandle> {
    try {
      return await openPrivateFile(this.path(digest), constants.O_WRONLY)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      await makeDirectory(this.dir, 0o700)
      return openPrivateFile(this.path(digest), constants.O_WRONLY)
    }
  }

  /** Removes what there is of a blob. Hold the lock. */
  async remove(digest: Digest): Promise<void> {
    await unlinkIfThere(this.path(digest))
    await unlinkIfThere(this.wholePath(digest))
  }

  /** What lies around: interrupted downloads, and those that are going on. */
  async list(): Promise<PartialBlob[]> {
    const names = await namesIn(this.dir)
    const digests = names.map((name) => name.replace(kWholeSuffix, '').replace('-', ':')).filter(isDigest)
    const found = [...new Set(digests)].map(async (digest): Promise<PartialBlob[]> => {
      const stats = (await statIfThere(this.wholePath(digest))) ?? (await statIfThere(this.path(digest)))
      return stats === undefined ? [] : [{ digest, sizeBytes: stats.size, changedMs: stats.mtimeMs }]
    })
    return (await Promise.all(found)).flat()
  }

  /**
   * Removes what nobody is downloading and was not written to since `beforeMs`, a time as in `Date.now()`, and lock files that
   * killed processes left.
   *
   * @returns the bytes that this freed.
   */
  async removeUnused(beforeMs = Number.POSITIVE_INFINITY): Promise<number> {
    let freed = 0
    for (const { digest, sizeBytes, changedMs } of await this.list()) {
      if (changedMs >= beforeMs) continue
      const lock = await this.#tryLock(this.#lockPath(digest))
      if (lock === undefined) continue
      try {
        await this.remove(digest)
        freed += sizeBytes
      } finally {
        await lock.release()
      }
    }
    for (const name of await namesIn(this.#layout.locks)) {
      if (!name.startsWith('blob-')) continue
      const lock = await this.#tryLock(join(this.#layout.locks, name))
      await lock?.release()
    }
    return freed
  }

  #lockPath(digest: Digest): string {
    return this.#layout.lock(`blob-${digestHex(digest)}`)
  }

  async #tryLock(path: string): Promise<BlobLock | undefined> {
    const file = await openLockFile(path)
    try {
      // The holder before us may have unlinked what we have opened: a lock on that keeps nobody out.
      if (this.#native.ofdLock(file.fd, 'write') && (await isAt(path, file))) return new BlobLock(path, file)
    } catch (error) {
      await file.close()
      throw error
    }
    await file.close()
    return undefined
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await statIfThere(path))?.size
}

async function isAt(path: string, file: FileHandle): Promise<boolean> {
  try {
    const [there, ours] = await Promise.all([stat(path), file.stat()])
    return there.ino === ours.ino && there.dev === ours.dev
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
}
