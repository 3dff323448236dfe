import type { Dirent } from 'node:fs'
import { chmod, readdir, rename, rmdir, unlink } from 'node:fs/promises'
import { geteuid } from 'node:process'
import { isErrno } from './atomic.ts'

// Well under PATH_MAX (4096): the path of a child must still fit.
const kMaxPathBytes = 3500

/**
 * Removes a file or a directory with everything in it; what is already gone is no error.
 *
 * Made for what containers leave behind: names that are not UTF-8, directories without permission bits (such as overlay's
 * `work/work`), trees deeper than a path can be long. Never follows a symlink. Nothing else may write below `path`.
 *
 * @throws {Error} Node's own, with the first failure (`EACCES`, `EPERM`) after everything that could be removed is gone.
 */
export async function removeTree(path: string): Promise<void> {
  const remover = new TreeRemover(Buffer.from(path))
  await remover.remove(Buffer.from(path))
  if (remover.firstFailure !== undefined) throw remover.firstFailure
}

class TreeRemover {
  readonly #root: Buffer
  readonly #privileged = geteuid?.() === 0
  #moved = 0
  firstFailure: unknown

  constructor(root: Buffer) {
    this.#root = root
  }

  async remove(path: Buffer): Promise<void> {
    try {
      await unlink(path)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return
      // EISDIR on Linux, EPERM by POSIX; a directory is told apart by trying.
      if (isErrno(error, 'EISDIR', 'EPERM')) await this.#removeDirectory(path, error)
      else this.#note(error)
    }
  }

  async #removeDirectory(path: Buffer, unlinkError: unknown): Promise<void> {
    if (await this.#tryRmdir(path)) return
    // Without root's powers, children can only be unlinked from a directory that its owner may write to.
    if (!this.#privileged) await chmod(path, 0o700).catch(() => undefined)
    const entries = await this.#list(path)
    if (entries === undefined) return this.#note(unlinkError)
    for (const entry of entries) {
      const child = join(path, entry.name)
      if (!entry.isDirectory()) await this.remove(child)
      else await this.#removeDirectory(await this.#shorten(child), unlinkError)
    }
    try {
      await rmdir(path)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) this.#note(error)
    }
  }

  async #tryRmdir(path: Buffer): Promise<boolean> {
    try {
      await rmdir(path)
      return true
    } catch (error) {
      return isErrno(error, 'ENOENT')
    }
  }

  async #list(path: Buffer): Promise<Dirent<Buffer>[] | undefined> {
    try {
      return await readDirectory(path)
    } catch (error) {
      return isErrno(error, 'ENOENT') ? [] : undefined
    }
  }

  /** Moves a directory that lies too deep to the top, beside the root, where its path is short again. */
  async #shorten(path: Buffer): Promise<Buffer> {
    if (path.byteLength < kMaxPathBytes) return path
    const short = Buffer.concat([this.#root, Buffer.from(`.deep-${this.#moved++}`)])
    await rename(path, short)
    return short
  }

  #note(error: unknown): void {
    this.firstFailure ??= error
  }
}

function readDirectory(path: Buffer): Promise<Dirent<Buffer>[]> {
  return readdir(path, { withFileTypes: true, encoding: 'buffer' })
}

function join(dir: Buffer, name: Buffer): Buffer {
  return Buffer.concat([dir, Buffer.from('/'), name])
}
