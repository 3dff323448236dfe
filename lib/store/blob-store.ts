import { chmod, open, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { LayerError, NotFoundError } from '../errors.ts'
import { type Digest, digestAlgorithm, digestOf, verifyDigest } from '../oci/digest.ts'
import { isErrno, makeDirectories, syncDirectory, writeFileAtomic } from './atomic.ts'
import type { StoreLayout } from './layout.ts'
import type { Session } from './session.ts'

/** Blobs of the OCI layout: `oci/blobs/<algorithm>/<hex>`. A blob that is there is complete and was verified. */
export class BlobStore {
  readonly #layout: StoreLayout
  readonly #session: Session

  constructor(layout: StoreLayout, session: Session) {
    this.#layout = layout
    this.#session = session
  }

  path(digest: Digest): string {
    return this.#layout.blob(digest)
  }

  /** @returns the size in bytes, or `undefined` where the store does not have the blob. */
  async size(digest: Digest): Promise<number | undefined> {
    try {
      return (await stat(this.path(digest))).size
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** Reads a small blob and verifies it. @throws {NotFoundError} @throws {IntegrityError} @throws {LayerError} over `maxBytes`. */
  async read(digest: Digest, maxBytes: number): Promise<Buffer> {
    const bytes = await readBounded(this.path(digest), maxBytes, digest)
    verifyDigest(digest, bytes, `Blob ${digest}`)
    return bytes
  }

  /** Stores bytes; does nothing where the blob is there already. */
  async write(bytes: Uint8Array, digest: Digest = digestOf(bytes)): Promise<Digest> {
    verifyDigest(digest, bytes, `Blob ${digest}`)
    if ((await this.size(digest)) !== undefined) return digest
    await this.#makeAlgorithmDirectory(digest)
    await writeFileAtomic(this.#session.tmpPath('blob'), this.path(digest), bytes, 0o644)
    return digest
  }

  /** Moves a file of ours, whose digest the caller has verified, into the store. The file is gone afterwards. */
  async adopt(path: string, digest: Digest): Promise<void> {
    await this.#makeAlgorithmDirectory(digest)
    const file = await open(path, 'r')
    try {
      await file.chmod(0o644)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(path, this.path(digest))
    await syncDirectory(dirname(this.path(digest)))
  }

  /**
   * Moves a file whose bytes are on the disk already into the store, like {@link adopt}. Its name is not: {@link syncNames}
   * sees to that for any number of blobs at once.
   */
  async adoptSynced(path: string, digest: Digest): Promise<void> {
    await this.#makeAlgorithmDirectory(digest)
    await chmod(path, 0o644)
    await rename(path, this.path(digest))
  }

  /** Makes the names of these blobs durable. */
  async syncNames(digests: Iterable<Digest>): Promise<void> {
    const directories = new Set([...digests].map((digest) => dirname(this.path(digest))))
    for (const directory of directories) await syncDirectory(directory)
  }

  async #makeAlgorithmDirectory(digest: Digest): Promise<void> {
    // sha512 is rare, so its directory is made when it is needed.
    if (digestAlgorithm(digest) !== 'sha256') await makeDirectories(dirname(this.path(digest)))
  }
}

/** Reads a regular file of at most `maxBytes`. @throws {NotFoundError} @throws {LayerError} */
export async function readBounded(path: string, maxBytes: number, what: string): Promise<Buffer> {
  let size: number
  try {
    const stats = await stat(path)
    if (!stats.isFile()) throw new LayerError(what, undefined, 'is not a regular file')
    size = stats.size
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) throw new NotFoundError(`${what} does not exist.`, undefined, error)
    throw error
  }
  if (size > maxBytes) throw new LayerError(what, undefined, `is ${size} bytes long; at most ${maxBytes} are read`)
  return readExactly(path, size)
}

// The file may grow while it is read; the size that was checked is all that is taken.
async function readExactly(path: string, size: number): Promise<Buffer> {
  const file = await open(path, 'r')
  try {
    const buffer = Buffer.alloc(size)
    let filled = 0
    while (filled < size) {
      const { bytesRead } = await file.read(buffer, filled, size - filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return buffer.subarray(0, filled)
  } finally {
    await file.close()
  }
}
