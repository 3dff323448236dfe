// SPDX-License-Identifier: MIT
import type { Stats } from 'node:fs'
import { lstat, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { geteuid } from 'node:process'
import { type Digest, digestAlgorithm } from '../oci/digest.ts'
import {
  type Descriptor,
  isIndexMediaType,
  isManifestMediaType,
  kMaxConfigBytes,
  kMaxManifestBytes,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from '../oci/image-config.ts'
import { type IndexedDocument, type IndexReader, parseIndexed, walkIndex } from '../oci/walk-index.ts'
import { isErrno } from './atomic.ts'
import type { BlobStore } from './blob-store.ts'
import { digestFile } from './digest-file.ts'
import type { IndexEntry } from './image-index.ts'
import type { StoreLayout } from './layout.ts'

/** Verifies what images consist of. {@link needed} collects what they need on the way. */
export class ContentVerifier {
  readonly needed = new Set<Digest>()
  readonly #layout: StoreLayout
  readonly #blobs: BlobStore
  readonly #report: (path: string, reason: string) => void
  readonly #hashes: boolean
  readonly #signal: AbortSignal | undefined
  /** Indexes that were looked into: several images may come from one. */
  readonly #walked = new Set<Digest>()

  constructor(parts: {
    layout: StoreLayout
    blobs: BlobStore
    report: (path: string, reason: string) => void
    options: { content?: boolean | undefined; signal?: AbortSignal | undefined }
  }) {
    this.#layout = parts.layout
    this.#blobs = parts.blobs
    this.#report = parts.report
    this.#hashes = parts.options.content !== false
    this.#signal = parts.options.signal
  }

  async image(entry: IndexEntry): Promise<void> {
    const { digest, size } = entry
    const isIndex = isIndexMediaType(entry.mediaType)
    await this.#guarded(digest, () =>
      isIndex ? this.#index({ ...entry, annotations: {} }) : this.#manifest(digest, size, true),
    )
    if (entry.id !== undefined && !this.needed.has(entry.id)) {
      this.#report(this.#layout.index, `says that ${digest} has the configuration ${entry.id}, which it has not`)
    }
    if (entry.index === undefined) return
    const index = entry.index
    const indexSize = (await this.#blobs.size(index)) ?? 0
    await this.#guarded(index, () => this.#index({ mediaType: '', digest: index, size: indexSize }))
  }

  /** Checks owner and mode of a blob. */
  async blobFile(path: string): Promise<void> {
    const stats = await this.#stat(path)
    if (stats === undefined) return
    const bits = (stats.mode & 0o7777).toString(8)
    if (!stats.isFile()) this.#report(path, 'is not a regular file')
    else if (bits !== '644') this.#report(path, `has mode ${bits}, not 644`)
    if (stats.uid !== geteuid?.()) this.#report(path, `belongs to user ${stats.uid}`)
  }

  /** Checks that a layer is unpacked as its note says. The files themselves are not compared. */
  async layer(diffId: Digest, isNeeded: boolean): Promise<void> {
    const dir = this.#layout.layer(diffId)
    const stats = await this.#stat(dir)
    if (stats === undefined) {
      if (isNeeded) this.#report(dir, 'is absent, though an image needs it')
      return
    }
    if ((stats.mode & 0o077) !== 0) this.#report(dir, 'is open to other users')
    if ((await this.#stat(join(dir, 'fs')))?.isDirectory() !== true) this.#report(join(dir, 'fs'), 'is no directory')
    const path = join(dir, 'info.json')
    try {
      const info = JSON.parse(await readFile(path, 'utf8')) as { diffId?: unknown; sizeBytes?: unknown }
      if (info.diffId !== diffId) this.#report(path, `says that the layer is ${String(info.diffId)}`)
      if (typeof info.sizeBytes !== 'number') this.#report(path, 'does not say how large the layer is')
    } catch (error) {
      this.#report(path, `cannot be read: ${(error as Error).message}`)
    }
  }

  async #index(descriptor: Descriptor): Promise<void> {
    const { digest } = descriptor
    this.needed.add(digest)
    if (!(await this.#hasSize(descriptor)) || this.#walked.has(digest)) return
    this.#walked.add(digest)
    const root = parseIndex(await this.#blobs.read(digest, kMaxManifestBytes), digest)
    const reader: IndexReader = { read: (child) => this.#indexed(child) }
    for await (const { descriptor: child, manifest } of walkIndex(root, digest, reader)) {
      if (manifest !== undefined)
        await this.#guarded(child.digest, () => this.#manifest(child.digest, child.size, false))
    }
  }

  /** Reads what an index names. Other platforms may be absent; what is there must be whole. */
  async #indexed(child: Descriptor): Promise<IndexedDocument | undefined> {
    const { digest, mediaType } = child
    if ((await this.#blobs.size(digest)) === undefined) return undefined
    this.needed.add(digest)
    if (!isIndexMediaType(mediaType) && !isManifestMediaType(mediaType)) return undefined
    if (!(await this.#hasSize(child))) return undefined
    let found: IndexedDocument | undefined
    await this.#guarded(digest, async () => {
      found = parseIndexed(child, await this.#blobs.read(digest, kMaxManifestBytes), digest)
    })
    return found
  }

  async #manifest(digest: Digest, size: number, isUnpacked: boolean): Promise<void> {
    this.needed.add(digest)
    if (!(await this.#hasSize({ digest, size }))) return
    const manifest = parseManifest(await this.#blobs.read(digest, kMaxManifestBytes), digest)
    for (const layer of manifest.layers) await this.#layerBlob(layer)
    const { config } = manifest
    this.needed.add(config.digest)
    if (!(await this.#hasSize(config))) return
    const bytes = await this.#blobs.read(config.digest, kMaxConfigBytes)
    for (const diffId of diffIdsOf(bytes, config.digest, isUnpacked)) {
      this.needed.add(diffId)
      if (isUnpacked) await this.layer(diffId, true)
    }
  }

  async #layerBlob(descriptor: Descriptor): Promise<void> {
    const { digest } = descriptor
    const isNew = !this.needed.has(digest)
    this.needed.add(digest)
    if (!(await this.#hasSize(descriptor)) || !isNew || !this.#hashes) return
    const actual = await digestFile(this.#blobs.path(digest), digestAlgorithm(digest), this.#signal)
    if (actual !== digest) this.#report(this.#blobs.path(digest), `has the digest ${actual}`)
  }

  async #hasSize({ digest, size }: Pick<Descriptor, 'digest' | 'size'>): Promise<boolean> {
    const actual = await this.#blobs.size(digest)
    if (actual === size) return true
    const reason = actual === undefined ? 'is absent, though an image needs it' : `has ${actual} bytes, not ${size}`
    this.#report(this.#blobs.path(digest), reason)
    return false
  }

  async #guarded(digest: Digest, work: () => Promise<void>): Promise<void> {
    try {
      this.#signal?.throwIfAborted()
      await work()
    } catch (error) {
      if (this.#signal?.aborted === true) throw this.#signal.reason
      this.#report(this.#blobs.path(digest), `is damaged: ${(error as Error).message}`)
    }
  }

  async #stat(path: string): Promise<Stats | undefined> {
    try {
      return await lstat(path)
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  }
}

function diffIdsOf(config: Uint8Array, digest: Digest, mustParse: boolean): readonly Digest[] {
  try {
    return parseImageConfig(config, digest).rootfs.diff_ids
  } catch (error) {
    // Artifacts that an index names beside its images have other configurations.
    if (mustParse) throw error
    return []
  }
}
