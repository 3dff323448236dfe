// SPDX-License-Identifier: MIT
import { createReadStream } from 'node:fs'
import { withLinkedSignal } from '../async/linked-signal.ts'
import type { Repository } from '../distribution/repository.ts'
import { NotFoundError } from '../errors.ts'
import type { Digest } from '../oci/digest.ts'
import { type Descriptor, kMaxManifestBytes } from '../oci/image-config.ts'
import { Reference } from '../oci/reference.ts'
import type { StoredImage } from '../store/image-store.ts'
import type { Store } from '../store/store.ts'
import { blobsOfManifests, readWholeIndex, type StoredDocument } from '../store/whole-index.ts'
import { forEachLimited } from './limited.ts'

/** Each piece costs the event loop about as much whatever its size: four times Node's default costs 40 % less in all. */
const kReadBytes = 256 * 1024

/** Reported while an image is pushed. */
export interface PushProgress {
  /** For each blob `uploading` with bytes, then `uploaded`; or `exists` or `mounted` where nothing was sent. `done` at the end. */
  readonly phase: 'uploading' | 'uploaded' | 'exists' | 'mounted' | 'done'
  /** Of the blob; at the end that of the manifest or index. */
  readonly digest: Digest
  readonly bytes: number
  readonly totalBytes: number
}

/** One blob of a push. */
export interface PushedBlob {
  readonly digest: Digest
  readonly sizeBytes: number
  /** `exists`: the repository had it; `mounted`: the registry had it in another repository. */
  readonly outcome: 'exists' | 'mounted' | 'uploaded'
}

/** What a push did. */
export interface PushResult {
  /** Canonical, such as `docker.io/library/alpine:3.20`. */
  readonly reference: string
  /** Of the manifest, or of the index with `allPlatforms`. */
  readonly digest: Digest
  readonly mediaType: string
  /** Size of the manifest or index itself. */
  readonly sizeBytes: number
  /** Configurations and layers. */
  readonly blobs: readonly PushedBlob[]
  /** Bytes of blobs that were sent. */
  readonly uploadedBytes: number
}

/** What to push, and how. */
export interface PushRequest {
  readonly reference: Reference
  /** Pushes the index that the image came with, and all images that it names. */
  readonly allPlatforms: boolean
  /** Blobs at a time. */
  readonly concurrency: number
  readonly signal: AbortSignal | undefined
  readonly onProgress: ((progress: PushProgress) => void) | undefined
}

/**
 * Pushes an image: blobs that the repository lacks, the configuration among them, then manifests, then, where wanted, the index.
 *
 * @throws {NotFoundError} when the store lacks a part. @throws {RegistryError} @throws {RegistryAuthError}
 */
export async function pushImage(
  store: Store,
  repository: Repository,
  image: StoredImage,
  request: PushRequest,
): Promise<PushResult> {
  const stopping = new AbortController()
  return withLinkedSignal(request.signal, stopping, async () => {
    stopping.signal.throwIfAborted()
    try {
      return await new Push(store, repository, request, stopping).run(image)
    } catch (error) {
      throw stopping.signal.aborted ? stopping.signal.reason : error
    }
  })
}

class Push {
  readonly #store: Store
  readonly #repository: Repository
  readonly #request: PushRequest
  readonly #stopping: AbortController
  readonly #pushed: PushedBlob[] = []

  constructor(store: Store, repository: Repository, request: PushRequest, stopping: AbortController) {
    this.#store = store
    this.#repository = repository
    this.#request = request
    this.#stopping = stopping
  }

  async run(image: StoredImage): Promise<PushResult> {
    const { reference, concurrency } = this.#request
    const { signal } = this.#stopping
    const documents = await this.#documents(image)
    // The large ones first: the last upload should not be the longest.
    const blobs = blobsOfManifests(documents).sort((a, b) => b.size - a.size)
    const letGo = await this.#store.images.keep([...blobs.map((blob) => blob.digest)], signal)
    try {
      const elsewhere = await this.#otherRepositories()
      const stop = (reason: unknown): void => this.#stopping.abort(reason)
      await forEachLimited(blobs, concurrency, stop, (blob) => this.#blob(blob, elsewhere.get(blob.digest)))
      const top = documents[documents.length - 1]
      if (top === undefined) throw new NotFoundError(`Image ${image.digest} has no manifest.`)
      for (const document of documents) {
        const name = document === top ? (reference.tag ?? document.digest) : document.digest
        await this.#repository.pushManifest(name, document.bytes, document.mediaType, { signal })
      }
      return this.#result(top)
    } finally {
      await letGo()
    }
  }

  #result(top: StoredDocument): PushResult {
    const sent = this.#pushed.filter((blob) => blob.outcome === 'uploaded')
    const uploadedBytes = sent.reduce((sum, blob) => sum + blob.sizeBytes, 0)
    this.#report({ phase: 'done', digest: top.digest, bytes: uploadedBytes, totalBytes: uploadedBytes })
    return {
      reference: this.#request.reference.toString(),
      digest: top.digest,
      mediaType: top.mediaType,
      sizeBytes: top.bytes.length,
      blobs: this.#pushed,
      uploadedBytes,
    }
  }

  /** Children come before the index that names them: a registry may refuse it otherwise. */
  async #documents(image: StoredImage): Promise<StoredDocument[]> {
    const { blobs } = this.#store
    if (this.#request.allPlatforms && image.indexDigest !== undefined) {
      const hint = 'pull it with allPlatforms: true, or push without allPlatforms'
      return readWholeIndex(blobs, image.indexDigest, hint)
    }
    const { digest, mediaType } = image
    return [{ digest, mediaType, bytes: await blobs.read(digest, kMaxManifestBytes) }]
  }

  /** Of the blobs of all images here, a repository on the same registry that should have them too, by the images' names. */
  async #otherRepositories(): Promise<Map<Digest, string>> {
    const { domain, path } = this.#request.reference
    const found = new Map<Digest, string>()
    for (const image of await this.#store.images.list()) {
      const names = image.references.map((text) => Reference.parse(text))
      const other = names.find((name) => name.domain === domain && name.path !== path)
      if (other === undefined) continue
      for (const blob of [image.manifest.config, ...image.manifest.layers]) found.set(blob.digest, other.path)
    }
    return found
  }

  async #blob({ digest, size }: Descriptor, mountFrom: string | undefined): Promise<void> {
    const { blobs } = this.#store
    if ((await blobs.size(digest)) === undefined) {
      throw new NotFoundError(`Blob ${digest} of the image is not in the store.`, 'pull or load the image again')
    }
    const open = (offset: number): AsyncIterable<Buffer> =>
      createReadStream(blobs.path(digest), { start: offset, highWaterMark: kReadBytes })
    const onBytes = (bytes: number): void => this.#report({ phase: 'uploading', digest, bytes, totalBytes: size })
    const options = { signal: this.#stopping.signal, onBytes, mountFrom }
    const outcome = await this.#repository.pushBlob({ digest, size }, open, options)
    this.#pushed.push({ digest, sizeBytes: size, outcome })
    this.#report({ phase: outcome, digest, bytes: size, totalBytes: size })
  }

  #report(progress: PushProgress): void {
    try {
      this.#request.onProgress?.(progress)
    } catch (error) {
      this.#stopping.abort(error)
    }
  }
}
