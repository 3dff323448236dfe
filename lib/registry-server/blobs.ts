// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import { copyFile, type FileHandle, link, open, rename, utimes } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Digest } from '../oci/digest.ts'
import { isErrno, syncDirectory } from '../store/atomic.ts'
import { statIfThere, unlinkIfThere } from '../store/files.ts'
import { makeDurably, type Storage } from './storage.ts'

/** A blob that was used is marked as such at most this often: what is spared for a while is so to this precision. */
const kTouchAgeMs = 1_000
/** Too many links, or a file system without them. */
const kNoLinks = ['EMLINK', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP']

/**
 * Blobs of repositories. A repository's blob is a hard link: it stays readable whatever happens to the name that all
 * repositories share, and the count of links tells whether anybody needs that name.
 */
export class Blobs {
  readonly #storage: Storage

  constructor(storage: Storage) {
    this.#storage = storage
  }

  /** Size of a repository's blob in bytes; `undefined` where it has none. */
  async size(repository: string, digest: Digest): Promise<number | undefined> {
    return (await statIfThere(this.#link(repository, digest)))?.size
  }

  /** Opens a repository's blob for reading; the caller closes it. */
  async open(repository: string, digest: Digest): Promise<{ file: FileHandle; size: number } | undefined> {
    let file: FileHandle
    try {
      file = await open(this.#link(repository, digest), constants.O_RDONLY | constants.O_NOFOLLOW)
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
    try {
      return { file, size: (await file.stat()).size }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /**
   * Notes that somebody relies on a blob, so that garbage collection spares it for a while.
   *
   * @returns whether the repository has it.
   */
  async touch(repository: string, digest: Digest): Promise<boolean> {
    const path = this.#link(repository, digest)
    const stats = await statIfThere(path)
    if (stats === undefined) return false
    if (Date.now() - stats.mtimeMs < kTouchAgeMs) return true
    try {
      await utimes(path, new Date(), new Date())
      return true
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false
      // Not ours to mark, such as on a read-only mount; it can be read all the same.
      if (isErrno(error, 'EROFS', 'EPERM', 'EACCES')) return true
      throw error
    }
  }

  /**
   * Takes a complete, verified and synced file of ours into a repository. The file is gone afterwards.
   *
   * When others bring the same blob at the same time, one file remains.
   */
  async adopt(path: string, repository: string, digest: Digest): Promise<void> {
    const shared = this.#storage.blob(digest)
    await makeDurably(dirname(shared))
    let linked = false
    // Collection may take the shared name away between the two steps; then they are done again.
    for (let attempt = 0; !linked && attempt < 10; attempt++) {
      if (!(await share(path, shared))) break
      linked = await this.#linkTo(shared, repository, digest)
    }
    if (!linked) await this.#linkTo(path, repository, digest)
    await unlinkIfThere(path)
  }

  /** Gives a repository a blob that another one has. @returns whether that one has it. */
  async mount(from: string, repository: string, digest: Digest): Promise<boolean> {
    if (!(await this.touch(from, digest))) return false
    return this.#linkTo(this.#link(from, digest), repository, digest)
  }

  /**
   * Takes a blob away from a repository that nobody has touched since `beforeMs`, a time as in `Date.now()`.
   *
   * Who touches it at this very moment, and learns that it is there, keeps it: it is moved aside first, where nobody can touch it
   * any more, and comes back when somebody had just done so.
   *
   * @returns whether it is gone.
   */
  async removeUntouched(repository: string, digest: Digest, beforeMs: number): Promise<boolean> {
    const path = this.#link(repository, digest)
    if (!(await isOlder(path, beforeMs))) return false
    const aside = this.#storage.scratch()
    try {
      await rename(path, aside)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false
      throw error
    }
    if (await isOlder(aside, beforeMs)) return unlinkIfThere(aside)
    await rename(aside, path)
    return false
  }

  /** Takes a blob away from a repository. @returns whether it had it. */
  remove(repository: string, digest: Digest): Promise<boolean> {
    return unlinkIfThere(this.#link(repository, digest))
  }

  #link(repository: string, digest: Digest): string {
    return this.#storage.link(repository, '_blobs', digest)
  }

  /** @returns false where `existing` is gone. */
  async #linkTo(existing: string, repository: string, digest: Digest): Promise<boolean> {
    const target = this.#link(repository, digest)
    await makeDurably(dirname(target))
    try {
      if (await linkIfAbsent(existing, target)) await syncDirectory(dirname(target))
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false
      // A copy then, whose bytes are shared where the file system can.
      if (!isErrno(error, ...kNoLinks)) throw error
      await this.#copy(existing, target)
    }
    return this.touch(repository, digest)
  }

  async #copy(existing: string, target: string): Promise<void> {
    const scratch = this.#storage.scratch()
    await copyFile(existing, scratch, constants.COPYFILE_FICLONE)
    const file = await open(scratch, 'r')
    try {
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(scratch, target)
    await syncDirectory(dirname(target))
  }
}

async function isOlder(path: string, beforeMs: number): Promise<boolean> {
  const stats = await statIfThere(path)
  return stats !== undefined && stats.mtimeMs <= beforeMs
}

/** Gives a file the name that all repositories share, unless another has it. @returns false where that cannot be. */
async function share(path: string, shared: string): Promise<boolean> {
  try {
    if (await linkIfAbsent(path, shared)) await syncDirectory(dirname(shared))
    return true
  } catch (error) {
    if (isErrno(error, ...kNoLinks)) return false
    throw error
  }
}

/** @returns false where the name exists already. */
async function linkIfAbsent(existing: string, name: string): Promise<boolean> {
  try {
    await link(existing, name)
    return true
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false
    throw error
  }
}
