// SPDX-License-Identifier: MIT
import { createHash, type Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { type Digest, type DigestAlgorithm, digestAlgorithm, finishDigest } from '../oci/digest.ts'
import { digestFile } from '../store/digest-file.ts'
import { statIfThere, writeAll } from '../store/files.ts'
import type { Blobs } from './blobs.ts'
import { RequestError } from './errors.ts'

/** Hash of the first `size` bytes. */
interface HashState {
  algorithm: DigestAlgorithm
  hash: Hash
  size: number
}

/** A blob that is being sent. */
export class Upload {
  readonly id: string
  readonly dir: string
  /** The file with the bytes so far. */
  readonly data: string
  readonly repository: string
  /** What the digest will probably be in. */
  algorithm: DigestAlgorithm = 'sha256'
  readonly #blobs: Blobs
  readonly #onEnd: () => void
  #hashed: HashState | undefined
  /** The request that has the upload to itself. */
  #holder: { interrupt: () => void; done: Promise<void> } | undefined

  constructor(parts: { id: string; dir: string; data: string; repository: string; blobs: Blobs; onEnd: () => void }) {
    this.id = parts.id
    this.dir = parts.dir
    this.data = parts.data
    this.repository = parts.repository
    this.#blobs = parts.blobs
    this.#onEnd = parts.onEnd
  }

  get isBusy(): boolean {
    return this.#holder !== undefined
  }

  async exists(): Promise<boolean> {
    return (await statIfThere(this.data)) !== undefined
  }

  /** Bytes so far. @throws {RequestError} BLOB_UPLOAD_UNKNOWN */
  async size(): Promise<number> {
    const stats = await statIfThere(this.data)
    if (stats === undefined) throw new RequestError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload')
    return stats.size
  }

  /**
   * Runs `work` while no other request changes the upload. A request that still holds it is interrupted: a client that
   * comes back has lost the connection on which it was sending, even where the server has not noticed.
   */
  async exclusively<T>(interrupt: () => void, work: () => Promise<T>): Promise<T> {
    while (this.#holder !== undefined) {
      this.#holder.interrupt()
      await this.#holder.done
    }
    const running = work()
    const holder = {
      interrupt,
      done: running.then(
        () => undefined,
        () => undefined,
      ),
    }
    this.#holder = holder
    try {
      return await running
    } finally {
      this.#holder = undefined
    }
  }

  /**
   * Adds bytes at the end. What came before a failure stays, so that the client can go on from there.
   *
   * @param algorithm - what the digest will probably be in.
   */
  async append(body: AsyncIterable<Buffer>, algorithm: DigestAlgorithm): Promise<void> {
    const file = await open(this.data, constants.O_WRONLY | constants.O_NOFOLLOW)
    try {
      const { size } = await file.stat()
      const state = this.#stateFor(size, algorithm)
      this.#hashed = state
      let position = size
      for await (const chunk of body) {
        await writeAll(file, chunk, position)
        position += chunk.byteLength
        if (state === undefined) continue
        state.hash.update(chunk)
        state.size = position
      }
    } finally {
      await file.close()
    }
  }

  /** Cuts the upload back, after bytes that should not have been sent. */
  async truncate(size: number): Promise<void> {
    const file = await open(this.data, constants.O_WRONLY | constants.O_NOFOLLOW)
    try {
      await file.truncate(size)
      this.#hashed = undefined
    } finally {
      await file.close()
    }
  }

  /**
   * Makes a blob of the repository out of the upload, which ends.
   *
   * @throws {RequestError} DIGEST_INVALID when the bytes are others; nothing of them is kept.
   */
  async finish(digest: Digest): Promise<void> {
    const actual = await this.#digest(digestAlgorithm(digest))
    if (actual !== digest) {
      await this.discard()
      const detail = { expected: digest, actual }
      throw new RequestError('DIGEST_INVALID', 'the bytes do not have the digest that was given', { detail })
    }
    const file = await open(this.data, constants.O_RDONLY | constants.O_NOFOLLOW)
    try {
      await file.chmod(0o644)
      await file.sync()
    } finally {
      await file.close()
    }
    await this.#blobs.adopt(this.data, this.repository, digest)
    await this.discard()
  }

  /** Removes the upload with its bytes. */
  async discard(): Promise<void> {
    this.#onEnd()
    await rm(this.dir, { recursive: true, force: true })
  }

  /** The hash to go on with; none where the bytes so far were not seen by this process. */
  #stateFor(size: number, algorithm: DigestAlgorithm): HashState | undefined {
    if (size === 0) return { algorithm, hash: createHash(algorithm), size }
    return this.#hashed?.size === size ? this.#hashed : undefined
  }

  async #digest(algorithm: DigestAlgorithm): Promise<Digest> {
    const state = this.#stateFor(await this.size(), algorithm)
    if (state?.algorithm === algorithm) return finishDigest(state.hash.copy(), algorithm)
    return digestFile(this.data, algorithm)
  }
}
