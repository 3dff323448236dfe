import { access, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { orAborted } from '../async/or-aborted.ts'
import { LayerError } from '../errors.ts'
import type { GrowingFile } from '../layer/growing-file.ts'
import { type Digest, digestAlgorithm } from '../oci/digest.ts'
import { isErrno } from './atomic.ts'
import type { StoreLayout } from './layout.ts'
import { makePrivateDirectory, writePrivateFile } from './private-files.ts'
import { removeTree } from './remove-tree.ts'
import type { Session } from './session.ts'
import type { Unsynced } from './unsynced.ts'

/** What is known of an unpacked layer, beside its files. */
export interface LayerInfo {
  readonly diffId: Digest
  /** Digest and size of the blob it was unpacked from. */
  readonly digest: Digest
  readonly compressedBytes: number
  /** Bytes of all files. */
  readonly sizeBytes: number
  readonly entries: number
}

/** Unpacks one layer; `Unpacker.unpack` of lib/layer, or a stand-in. `targetDir` must not exist. */
export type UnpackLayer = (options: {
  source: string | GrowingFile
  layer: string
  targetDir: string
  signal?: AbortSignal
  expectedDigest?: Digest
  expectedDiffId?: Digest
  durable?: boolean
}) => Promise<{ digest: string; diffId: string; compressedBytes: number; sizeBytes: number; entries: number }>

/** Which blob to unpack, and what must come out. */
export interface UnpackRequest {
  /** Path of the blob, or the blob as it is being downloaded; the caller closes that once the unpacking has ended. */
  readonly source: string | GrowingFile
  /** Where known, the blob's digest to verify in the stream. */
  readonly expectedDigest?: Digest | undefined
  /** What errors call the layer. @default its digest, or else the path */
  readonly label?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Unpacked layers: `layers/<diffid>/fs`, beside `info.json`. A layer whose directory is there is complete.
 *
 * The directory around `fs` is ours alone: a root directory without write permission, as some images have it, cannot be renamed
 * by an ordinary user.
 */
export class LayerStore {
  readonly #layout: StoreLayout
  readonly #session: Session
  readonly #unpack: UnpackLayer
  readonly #unsynced: Unsynced
  readonly #running = new Map<Digest, Promise<unknown>>()

  constructor(layout: StoreLayout, session: Session, unsynced: Unsynced, unpack: UnpackLayer) {
    this.#layout = layout
    this.#session = session
    this.#unsynced = unsynced
    this.#unpack = unpack
  }

  /** The layer's files. */
  path(diffId: Digest): string {
    return join(this.#layout.layer(diffId), 'fs')
  }

  async has(diffId: Digest): Promise<boolean> {
    try {
      await access(this.#layout.layer(diffId))
      return true
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false
      throw error
    }
  }

  /** @returns what was noted when the layer was unpacked. */
  async info(diffId: Digest): Promise<LayerInfo> {
    return JSON.parse(await readFile(join(this.#layout.layer(diffId), 'info.json'), 'utf8')) as LayerInfo
  }

  /**
   * Makes sure that a layer is unpacked. Concurrent calls for one layer unpack it once; when the one that does it fails or is
   * aborted, the next does it with its own source. Another process may do the same work; one of both results is kept.
   *
   * @returns whether this call unpacked it, which means that the blob's digest has been verified.
   */
  async ensure(diffId: Digest, request: UnpackRequest): Promise<boolean> {
    for (;;) {
      request.signal?.throwIfAborted()
      const running = this.#running.get(diffId)
      if (running === undefined) break
      await orAborted(
        running.catch(() => undefined),
        request.signal,
      )
    }
    // No await between the look at the map and the entry in it.
    const work = this.#unsynced.during(() => this.#ensureAlone(diffId, request))
    this.#running.set(diffId, work)
    try {
      return await work
    } finally {
      this.#running.delete(diffId)
    }
  }

  /** Unpacks into tmp/, for a layer whose diff id is not known yet. {@link publish} or {@link discard} it. */
  async unpack(request: UnpackRequest, expectedDiffId?: Digest): Promise<{ dir: string; info: LayerInfo }> {
    checkSha256(request.expectedDigest ?? expectedDiffId)
    checkSha256(expectedDiffId)
    const dir = this.#session.tmpPath('layer')
    await makePrivateDirectory(dir)
    try {
      const result = await this.#unpack({
        source: request.source,
        layer: request.label ?? request.expectedDigest ?? expectedDiffId ?? pathOf(request.source),
        targetDir: join(dir, 'fs'),
        // See Unsynced: publish() marks the layer.
        durable: false,
        ...(request.signal === undefined ? {} : { signal: request.signal }),
        ...(request.expectedDigest === undefined ? {} : { expectedDigest: request.expectedDigest }),
        ...(expectedDiffId === undefined ? {} : { expectedDiffId }),
      })
      const { compressedBytes, sizeBytes, entries } = result
      const digests = { diffId: result.diffId as Digest, digest: result.digest as Digest }
      return { dir, info: { ...digests, compressedBytes, sizeBytes, entries } }
    } catch (error) {
      await this.discard(dir)
      throw error
    }
  }

  /** Moves an unpacked layer to its place; where the same layer is there already, the new one is dropped. */
  async publish(dir: string, info: LayerInfo): Promise<void> {
    await writePrivateFile(join(dir, 'info.json'), `${JSON.stringify(info)}\n`)
    await this.#unsynced.during(() => this.#publish(dir, info))
  }

  async #publish(dir: string, info: LayerInfo): Promise<void> {
    await this.#unsynced.mark(info)
    try {
      await rename(dir, this.#layout.layer(info.diffId))
    } catch (error) {
      if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error
      await this.discard(dir)
    }
  }

  /** Removes what {@link unpack} made. */
  async discard(dir: string): Promise<void> {
    await removeTree(dir)
  }

  async #ensureAlone(diffId: Digest, request: UnpackRequest): Promise<boolean> {
    if (await this.has(diffId)) return false
    const { dir, info } = await this.unpack(request, diffId)
    try {
      await this.publish(dir, info)
    } catch (error) {
      await this.discard(dir)
      throw error
    }
    return true
  }
}

function pathOf(source: string | GrowingFile): string {
  return typeof source === 'string' ? source : source.path
}

// The unpacker hashes with sha256 on the way; no known tool makes layers with another digest.
function checkSha256(digest: Digest | undefined): void {
  if (digest === undefined || digestAlgorithm(digest) === 'sha256') return
  throw new LayerError(digest, undefined, 'is named by sha512; layers must be named by sha256')
}
