// SPDX-License-Identifier: MIT
import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno } from '../store/atomic.ts'
import { namesIn, statIfThere, unlinkIfThere } from '../store/files.ts'
import { makePrivateDirectory, writePrivateFile } from '../store/private-files.ts'
import type { Blobs } from './blobs.ts'
import { RequestError } from './errors.ts'
import type { Storage } from './storage.ts'
import { Upload } from './upload.ts'

/** Uploads that may be under way at one time. */
const kMaxUploads = 10_000

/**
 * Uploads under way. Each has a directory with the bytes so far and its repository's name, so that it can go on after the
 * server was started anew, or at another server on the same root.
 *
 * The bytes are in a file of the server that received them. Another one goes on with a copy: so nobody else can change what
 * a server has hashed.
 */
export class Uploads {
  readonly #storage: Storage
  readonly #blobs: Blobs
  readonly #maxAgeMs: number
  readonly #open = new Map<string, Upload>()
  readonly #dataName = `data-${randomUUID()}`

  constructor(storage: Storage, blobs: Blobs, maxAgeMs: number) {
    this.#storage = storage
    this.#blobs = blobs
    this.#maxAgeMs = maxAgeMs
  }

  async start(repository: string): Promise<Upload> {
    if (this.#open.size >= kMaxUploads) throw new RequestError('TOOMANYREQUESTS', 'too many uploads are under way')
    const id = randomUUID()
    const upload = this.#make(repository, id)
    this.#open.set(id, upload)
    try {
      await makePrivateDirectory(upload.dir)
      await writePrivateFile(upload.data, '')
      // Last: an upload is found by its name's file.
      await writePrivateFile(join(upload.dir, 'repository'), repository)
    } catch (error) {
      await upload.discard()
      throw error
    }
    return upload
  }

  /** @throws {RequestError} BLOB_UPLOAD_UNKNOWN */
  async find(repository: string, id: string): Promise<Upload> {
    const known = this.#open.get(id)
    if (known?.repository === repository && (await known.exists())) return known
    // Another server may have taken it over, or finished it.
    if (known?.repository === repository && this.#open.get(id) === known) this.#open.delete(id)
    const found = this.#open.get(id) ?? (await this.#load(repository, id))
    if (found?.repository === repository && (await found.exists())) return found
    throw new RequestError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload', { detail: { upload: id } })
  }

  /** Removes uploads that got no bytes for too long. */
  async sweep(now = Date.now()): Promise<void> {
    for (const id of await namesIn(this.#storage.uploadsDir)) {
      const dir = join(this.#storage.uploadsDir, id)
      if (now - (await lastChange(dir)) <= this.#maxAgeMs) continue
      const upload = this.#open.get(id)
      if (upload === undefined) await rm(dir, { recursive: true, force: true })
      else if (!upload.isBusy) await upload.discard()
    }
  }

  async #load(repository: string, id: string): Promise<Upload | undefined> {
    const dir = join(this.#storage.uploadsDir, id)
    try {
      if ((await readFile(join(dir, 'repository'), 'utf8')) !== repository) return undefined
      await this.#takeOver(dir)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      throw error
    }
    // While the files were read, another request may have done the same.
    const upload = this.#open.get(id) ?? this.#make(repository, id)
    this.#open.set(id, upload)
    return upload
  }

  async #takeOver(dir: string): Promise<void> {
    for (const name of await namesIn(dir)) {
      if (!name.startsWith('data-') || name === this.#dataName) continue
      const scratch = this.#storage.scratch()
      await copyFile(join(dir, name), scratch, constants.COPYFILE_FICLONE)
      await rename(scratch, join(dir, this.#dataName))
      await unlinkIfThere(join(dir, name))
    }
  }

  #make(repository: string, id: string): Upload {
    const dir = join(this.#storage.uploadsDir, id)
    const data = join(dir, this.#dataName)
    return new Upload({ id, dir, data, repository, blobs: this.#blobs, onEnd: () => this.#open.delete(id) })
  }
}

/** When a directory of an upload, or the bytes in it, changed last. */
async function lastChange(dir: string): Promise<number> {
  const paths = [dir, ...(await namesIn(dir)).map((name) => join(dir, name))]
  const times = await Promise.all(paths.map(async (path) => (await statIfThere(path))?.mtimeMs ?? 0))
  return Math.max(...times)
}
