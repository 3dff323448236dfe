// SPDX-License-Identifier: MIT

import { withLinkedSignal } from '../async/linked-signal.ts'
import type { Repository } from '../distribution/repository.ts'
import { NotFoundError, PlatformError } from '../errors.ts'
import type { Digest } from '../oci/digest.ts'
import type { ImageConfig, Platform } from '../oci/image-config.ts'
import { fitsPlatform, formatPlatform } from '../oci/platform.ts'
import type { Reference } from '../oci/reference.ts'
import { hostError } from '../store/host-error.ts'
import type { StoredImage } from '../store/image-store.ts'
import { adoptBlobs, type BlobParts, type BlobProgress, bringBlob } from './bring-blob.ts'
import { type BlobPlan, planLayers } from './check-manifest.ts'
import { forEachLimited } from './limited.ts'
import { fetchConfig, type ResolvedManifest, resolveManifest } from './resolve.ts'
import type { SharedTasks } from './shared-tasks.ts'
import { bringManifests } from './siblings.ts'

/** Reported while an image is pulled. */
export interface PullProgress {
  /**
   * `resolving` the name, once; then for each layer `exists` where nothing had to be downloaded, or `downloading`, `unpacking` and
   * `done`; and `done` without a layer when the image is usable.
   */
  readonly phase: 'resolving' | 'exists' | 'downloading' | 'unpacking' | 'done'
  /** Of the layer's blob; for the image as a whole that of its manifest, once it is known. */
  readonly digest: Digest | undefined
  /** Bytes of the blob that are here, also from an earlier pull; for the image as a whole those of all layers. */
  readonly bytes: number
  /** Size of the blob, or of all layers; `undefined` while it is not known. */
  readonly totalBytes: number | undefined
  /** Which layer, and of how many different ones. */
  readonly layer?: { readonly digest: Digest; readonly position: number; readonly count: number }
}

/** Whether to ask the registry. */
export type PullPolicy = 'missing' | 'always' | 'never'

/** What to pull. */
export interface PullRequest {
  readonly reference: Reference
  readonly platform: Platform
  /** Whether the caller has named the platform: then another one will not do. */
  readonly isPlatformGiven: boolean
  readonly policy: PullPolicy
  /** Whether to bring, without unpacking it, also what the name stands for on other platforms. */
  readonly allPlatforms: boolean
  /** Layers at a time. */
  readonly concurrency: number
  readonly signal: AbortSignal | undefined
  readonly onProgress: ((progress: PullProgress) => void) | undefined
}

/** Where images go, and the downloads that are going on. */
export interface PullParts extends BlobParts {
  readonly tasks: SharedTasks<void, BlobProgress>
}

/** Where an image comes from. */
export interface PullSource {
  readonly repository: Repository
  /** The same for pulls that may share their failures: of one repository, with the same credentials. */
  readonly origin: string
}

/**
 * Finds the image in the store, as far as the policy and the platform allow.
 *
 * @throws {NotFoundError} when it is not there, and the registry may not be asked.
 */
export async function findLocal(parts: PullParts, request: PullRequest): Promise<StoredImage | undefined> {
  const name = request.reference.toString()
  const found = await parts.store.images.get(name).catch((error: unknown) => {
    if (error instanceof NotFoundError) return undefined
    throw error
  })
  const image = found !== undefined && isWanted(found.config, request) ? found : undefined
  if (image === undefined && request.policy === 'never') {
    const what = found === undefined ? '' : ` for ${formatPlatform(request.platform)}`
    throw new NotFoundError(`Image ${name} is not in the store${what}.`, `pull it with policy 'missing'`)
  }
  return image
}

function isWanted(config: ImageConfig, request: PullRequest): boolean {
  return !request.isPlatformGiven || fitsPlatform(config, request.platform)
}

/**
 * Brings an image from a registry into the store. It is listed when all of it is there and verified. A failure leaves nothing of
 * it behind but what has been downloaded, in `partial/`, where the next pull finds it.
 *
 * @param local the image that has the name now.
 */
export async function pullImage(
  parts: PullParts,
  source: PullSource,
  request: PullRequest,
  local: StoredImage | undefined,
): Promise<StoredImage> {
  const stopping = new AbortController()
  return withLinkedSignal(request.signal, stopping, async () => {
    stopping.signal.throwIfAborted()
    try {
      return await new Pull(parts, source, request, stopping).run(local)
    } catch (error) {
      // What the caller's signal or callback has stopped fails in many ways.
      const first: unknown = stopping.signal.aborted ? stopping.signal.reason : error
      throw request.signal?.aborted === true ? first : hostError(`Pulling ${request.reference}`, first)
    }
  })
}

class Pull {
  readonly #parts: PullParts
  readonly #source: PullSource
  readonly #request: PullRequest
  readonly #stopping: AbortController

  constructor(parts: PullParts, source: PullSource, request: PullRequest, stopping: AbortController) {
    this.#parts = parts
    this.#source = source
    this.#request = request
    this.#stopping = stopping
  }

  async run(local: StoredImage | undefined): Promise<StoredImage> {
    const { repository } = this.#source
    const { reference, platform, allPlatforms } = this.#request
    const { signal } = this.#stopping
    this.#report({ phase: 'resolving', digest: reference.digest, bytes: 0, totalBytes: undefined })
    // Of other platforms it is not known what is there.
    const known = allPlatforms ? undefined : local
    if (known !== undefined && (await this.#isCurrent(known))) return this.#finish(known)
    const resolved = await resolveManifest(repository, { reference, platform, signal })
    const isSame = known?.digest === resolved.digest && known.indexDigest === resolved.index?.digest
    return this.#finish(known !== undefined && isSame ? known : await this.#bring(resolved))
  }

  /** Asks for headers only, which registries that count pulls do not count. */
  async #isCurrent(local: StoredImage): Promise<boolean> {
    const { digest, tag } = this.#request.reference
    const options = { signal: this.#stopping.signal }
    const there = digest ?? (await this.#source.repository.headManifest(tag ?? 'latest', options))?.digest
    return there !== undefined && (there === local.digest || there === local.indexDigest)
  }

  #finish(image: StoredImage): StoredImage {
    const bytes = image.manifest.layers.reduce((sum, layer) => sum + layer.size, 0)
    this.#report({ phase: 'done', digest: image.digest, bytes, totalBytes: bytes })
    return image
  }

  async #bring(resolved: ResolvedManifest): Promise<StoredImage> {
    const { store } = this.#parts
    const { signal } = this.#stopping
    const { digest, manifest, index } = resolved
    const held: (() => Promise<void>)[] = []
    const keep = async (digests: readonly Digest[]): Promise<void> => {
      held.push(await store.images.keep(digests, signal))
    }
    const letGo = async (): Promise<void> => {
      for (const release of held) await release()
    }
    try {
      // While the configuration comes.
      store.expectLayers(manifest.layers.length)
      await keep([digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)])
      const { bytes, config } = await fetchConfig(this.#source.repository, store.blobs, manifest.config, signal)
      this.#checkPlatform(config)
      await keep([...config.rootfs.diff_ids, ...(index === undefined ? [] : [index.digest])])
      const plans = planLayers(this.#request.reference.toString(), manifest, config)
      const others = await this.#otherPlatforms(resolved, keep)
      const ours = new Set(plans.map((plan) => plan.descriptor.digest))
      const wanted = [...plans, ...others.filter((other) => !ours.has(other.descriptor.digest))]
      // The sync of the layers comes after the image is listed: all syncs that the list needs would wait for it.
      const image = await store.unsynced.during(async () => {
        await this.#blobs(wanted)
        return this.#add(resolved, bytes)
      })
      await letGo()
      return image
    } catch (error) {
      store.sweepSoon(letGo)
      throw error
    }
  }

  async #otherPlatforms(
    { index }: ResolvedManifest,
    keep: (digests: readonly Digest[]) => Promise<void>,
  ): Promise<BlobPlan[]> {
    if (index === undefined || !this.#request.allPlatforms) return []
    const { repository } = this.#source
    const parts = { store: this.#parts.store, repository, image: this.#request.reference.toString(), keep }
    const blobs = await bringManifests(index.bytes, { ...parts, signal: this.#stopping.signal })
    return blobs.map((descriptor) => ({ descriptor, diffId: undefined }))
  }

  #checkPlatform(config: ImageConfig): void {
    if (isWanted(config, this.#request)) return
    const { reference, platform } = this.#request
    throw new PlatformError(reference.toString(), formatPlatform(platform), [formatPlatform(config)])
  }

  async #blobs(plans: readonly BlobPlan[]): Promise<void> {
    const { signal } = this.#stopping
    const stop = (reason: unknown): void => this.#stopping.abort(reason)
    await forEachLimited(plans, this.#request.concurrency, stop, (plan, position) =>
      this.#blob(plan, { position, count: plans.length }),
    )
    // Together and at last: blobs of an image that never becomes whole would be swept away, and downloaded again.
    const digests = [...new Set(plans.map(({ descriptor }) => descriptor.digest))]
    await adoptBlobs(this.#parts, digests, signal)
  }

  #blob({ descriptor, diffId }: BlobPlan, place: { position: number; count: number }): Promise<void> {
    const { repository, origin } = this.#source
    const { digest, size } = descriptor
    const layer = { digest, ...place }
    const onProgress = ({ phase, bytes }: BlobProgress): void =>
      this.#report({ phase, digest, bytes, totalBytes: size, layer })
    const options = { signal: this.#stopping.signal, onProgress, origin }
    return this.#parts.tasks.join(`${digest} ${diffId ?? ''}`, options, (context) =>
      bringBlob(this.#parts, { repository, descriptor, diffId }, context),
    )
  }

  #add(resolved: ResolvedManifest, config: Buffer): Promise<StoredImage> {
    const { bytes, mediaType, index } = resolved
    const references = [this.#request.reference.toString()]
    const base = { manifest: bytes, mediaType, config, references }
    return this.#parts.store.images.add(index === undefined ? base : { ...base, index: index.bytes })
  }

  /** A callback that throws ends this pull, not the downloads that others share. */
  #report(progress: PullProgress): void {
    try {
      this.#request.onProgress?.(progress)
    } catch (error) {
      this.#stopping.abort(error)
    }
  }
}
