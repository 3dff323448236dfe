// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { type Digest, isDigest } from '../oci/digest.ts'
import { isErrno, syncDirectory, writeFileAtomic } from './atomic.ts'
import { readBootId } from './container-state.ts'
import { namesIn, statIfThere, unlinkIfThere } from './files.ts'
import { readJson } from './json.ts'
import { layerName, type StoreLayout } from './layout.ts'
import type { StoreNative } from './native.ts'
import { makePrivateDirectory } from './private-files.ts'
import type { Session } from './session.ts'

const digest = v.pipe(
  v.string(),
  v.check((text: string) => isDigest(text)),
)
const markSchema = v.object({ bootId: v.string(), diffId: digest, digest })

/** A layer whose files may not be on the disk yet. */
export interface UnsyncedLayer {
  readonly diffId: Digest
  /** The blob that it was unpacked from, which is on the disk. */
  readonly digest: Digest
  /** Whether the machine has been started anew since: then what was not written is lost. */
  readonly isStale: boolean
  /** Of its mark: another one has another. */
  readonly markInode: number
}

/**
 * Layers are used before their thousands of files are on the disk: writing them takes longer than unpacking, and nobody has to wait
 * for it. Each has a mark in `unsynced/` until one syncfs has written all of them. A mark of an earlier boot tells that the power
 * went between the two: such a layer is unpacked again.
 */
export class Unsynced {
  readonly #layout: StoreLayout
  readonly #native: StoreNative
  readonly #session: Session
  readonly #inBackground: (work: Promise<unknown>, what: string) => void
  #active = 0
  #running: Promise<void> | undefined
  #isDue = false

  constructor(parts: {
    layout: StoreLayout
    native: StoreNative
    session: Session
    inBackground: (work: Promise<unknown>, what: string) => void
  }) {
    this.#layout = parts.layout
    this.#native = parts.native
    this.#session = parts.session
    this.#inBackground = parts.inBackground
  }

  /** Puts the disk off while layers are being unpacked: one sync for all of them comes after the last one. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#active++
    try {
      return await work()
    } finally {
      this.#active--
      if (this.#active === 0 && this.#isDue) this.syncSoon()
    }
  }

  /** Marks a layer. The mark is on the disk before this resolves. */
  async mark(layer: Pick<UnsyncedLayer, 'diffId' | 'digest'>): Promise<void> {
    const text = `${JSON.stringify({ bootId: await readBootId(), diffId: layer.diffId, digest: layer.digest })}\n`
    await this.#makeDirectory()
    await writeFileAtomic(this.#session.tmpPath('unsynced'), this.#path(layer.diffId), text)
    this.#isDue = true
  }

  /** All marked layers, of this and other processes. */
  async list(): Promise<UnsyncedLayer[]> {
    const names = await namesIn(this.#layout.unsynced)
    if (names.length === 0) return []
    const bootId = await readBootId()
    const layers: UnsyncedLayer[] = []
    for (const name of names) {
      const path = join(this.#layout.unsynced, name)
      const status = await statIfThere(path)
      const mark = await readMark(path)
      if (mark === undefined || status === undefined) {
        // A mark is whole or not there; this one says nothing.
        await unlinkIfThere(path)
        continue
      }
      const { diffId, digest } = mark
      layers.push({ diffId, digest, isStale: mark.bootId !== bootId, markInode: status.ino })
    }
    return layers
  }

  async unmark(diffId: Digest): Promise<void> {
    await unlinkIfThere(this.#path(diffId))
  }

  /** Writes what is marked to the disk in the background, once at a time, and takes the marks away. */
  syncSoon(): void {
    this.#isDue = true
    if (this.#running !== undefined || this.#active > 0) return
    const running = this.#sync().finally(() => {
      this.#running = undefined
      if (this.#isDue && this.#active === 0) this.syncSoon()
    })
    this.#running = running
    this.#inBackground(running, 'sync of layers')
  }

  async #sync(): Promise<void> {
    this.#isDue = false
    const layers = (await this.list()).filter(({ isStale }) => !isStale)
    if (layers.length === 0) return
    await using directory: FileHandle = await open(this.#layout.layers, constants.O_RDONLY | constants.O_DIRECTORY)
    await this.#native.syncfsAsync(directory.fd)
    for (const { diffId, markInode } of layers) {
      // Another process may have unpacked the same layer anew meanwhile: that is not on the disk.
      if ((await statIfThere(this.#path(diffId)))?.ino === markInode) await this.unmark(diffId)
    }
  }

  async #makeDirectory(): Promise<void> {
    try {
      await makePrivateDirectory(this.#layout.unsynced)
      await syncDirectory(this.#layout.root)
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error
    }
  }

  #path(diffId: Digest): string {
    return join(this.#layout.unsynced, layerName(diffId))
  }
}

async function readMark(path: string): Promise<{ bootId: string; diffId: Digest; digest: Digest } | undefined> {
  return (await readJson(markSchema, path)) as { bootId: string; diffId: Digest; digest: Digest } | undefined
}
