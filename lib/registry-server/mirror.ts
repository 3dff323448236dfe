// SPDX-License-Identifier: MIT
import { Readable } from 'node:stream'
import { NotFoundError, RegistryError } from '../errors.ts'
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts'
import { blobUnknown, sendStream, startBlobAnswer } from './blob-endpoints.ts'
import { BlobSizes } from './blob-sizes.ts'
import type { Blobs } from './blobs.ts'
import { Download } from './download.ts'
import { RequestError } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { parseManifestContent } from './manifest-content.ts'
import { findManifest } from './manifest-endpoints.ts'
import type { Manifests, ReferrerDescriptor, StoredManifest } from './manifests.ts'
import type { RegistryServerUpstream } from './options.ts'
import type { Storage } from './storage.ts'

/** Tags whose age is remembered. */
const kMaxRemembered = 10_000

/** What is needed of a registry client. */
export interface Upstream {
  repository(path: string): UpstreamRepository
  close(): Promise<void>
}

/** A repository of {@link Upstream}. */
export interface UpstreamRepository {
  manifest(reference: string): Promise<{ bytes: Uint8Array; mediaType: string; digest: Digest }>
  headManifest(reference: string): Promise<{ digest: Digest } | undefined>
  blob(blob: { digest: Digest; size: number }, options: { signal: AbortSignal }): AsyncIterable<Uint8Array>
  tags(): AsyncIterable<string>
  referrers(digest: Digest): Promise<ReferrerDescriptor[]>
}

/** Makes the client of an upstream; loaded only here, since most servers have none. */
export async function openUpstream({ host, auth, insecure, ca }: RegistryServerUpstream): Promise<Upstream> {
  const { RegistryClient } = await import('../distribution/registry-client.ts')
  return new RegistryClient(host, { auth, insecure, ca, retries: 1 })
}

/** Fetches what is missing here from another registry, and keeps it. */
export class Mirror {
  readonly #upstream: Upstream
  readonly #storage: Storage
  readonly #blobs: Blobs
  readonly #manifests: Manifests
  readonly #sizes: BlobSizes
  readonly #ttlMs: number
  /** When a tag was last compared with upstream. */
  readonly #checked = new Map<string, number>()
  readonly #downloads = new Map<string, Download>()
  readonly #fetches = new Map<string, Promise<StoredManifest | undefined>>()

  constructor(parts: { upstream: Upstream; storage: Storage; blobs: Blobs; manifests: Manifests; ttlMs: number }) {
    this.#upstream = parts.upstream
    this.#storage = parts.storage
    this.#blobs = parts.blobs
    this.#manifests = parts.manifests
    this.#sizes = new BlobSizes(parts.manifests)
    this.#ttlMs = parts.ttlMs
  }

  /** A manifest from here, or else from upstream. A tag that upstream cannot be asked about is served as it was. */
  async manifest(repository: string, reference: Digest | { tag: string }): Promise<StoredManifest | undefined> {
    const name = typeof reference === 'string' ? reference : reference.tag
    const key = `${repository} ${name}`
    // Many clients at once are one question upstream.
    let fetching = this.#fetches.get(key)
    if (fetching === undefined) {
      fetching = this.#manifest(repository, reference, key).finally(() => this.#fetches.delete(key))
      this.#fetches.set(key, fetching)
    }
    return fetching
  }

  /** Tags upstream; those that are here while upstream is away. */
  async tags(repository: string): Promise<string[] | undefined> {
    const tags: string[] = []
    try {
      for await (const tag of this.#upstream.repository(repository).tags()) tags.push(tag)
    } catch (error) {
      if (isAbsent(error)) return undefined
      return this.#manifests.tags(repository)
    }
    return tags.sort()
  }

  /** Referrers upstream; `undefined` while it is away. */
  async referrers(repository: string, subject: Digest): Promise<ReferrerDescriptor[] | undefined> {
    try {
      return await this.#upstream.repository(repository).referrers(subject)
    } catch {
      return undefined
    }
  }

  /** Sends a blob that is not here, while it is fetched and kept. */
  async serveBlob(exchange: Exchange, repository: string, digest: Digest): Promise<void> {
    // From a manifest that was served here before; other blobs are none of a cache's business.
    const size = await this.#sizes.find(repository, digest)
    if (size === undefined) throw blobUnknown(digest)
    if (exchange.request.method === 'HEAD') {
      startBlobAnswer(exchange, digest, size)
      return
    }
    const download = this.#download(repository, digest, size)
    const release = download.hold()
    try {
      await startedOr(download, digest)
      const range = startBlobAnswer(exchange, digest, size)
      if (range === undefined) return
      const source = Readable.from(download.read(range.start, range.end), { objectMode: false })
      await sendStream(exchange, source)
    } finally {
      await release()
    }
  }

  async close(): Promise<void> {
    for (const download of this.#downloads.values()) download.cancel()
    await Promise.allSettled([...this.#downloads.values()].map(({ done }) => done))
    await Promise.allSettled(this.#fetches.values())
    await this.#upstream.close()
  }

  async #manifest(
    repository: string,
    reference: Digest | { tag: string },
    key: string,
  ): Promise<StoredManifest | undefined> {
    const local = await findManifest({ manifests: this.#manifests }, repository, reference)
    if (local !== undefined && (typeof reference === 'string' || this.#isFresh(key))) return local
    const name = typeof reference === 'string' ? reference : reference.tag
    try {
      const source = this.#upstream.repository(repository)
      const current = local === undefined ? undefined : await source.headManifest(name)
      if (local !== undefined && current === undefined) return await this.#forget(repository, reference)
      const manifest = local?.digest === current?.digest && local ? local : await this.#fetch(repository, reference)
      if (typeof reference !== 'string') this.#remember(key)
      return manifest
    } catch (error) {
      if (isAbsent(error)) return await this.#forget(repository, reference)
      if (local !== undefined) return local
      throw new RequestError('UNAVAILABLE', 'the upstream registry cannot be reached or refuses the request')
    }
  }

  /** Upstream has the tag no longer. */
  async #forget(repository: string, reference: Digest | { tag: string }): Promise<undefined> {
    if (typeof reference !== 'string') await this.#manifests.removeTag(repository, reference.tag)
    return undefined
  }

  async #fetch(repository: string, reference: Digest | { tag: string }): Promise<StoredManifest> {
    const name = typeof reference === 'string' ? reference : reference.tag
    const { bytes: received, mediaType } = await this.#upstream.repository(repository).manifest(name)
    const bytes = Buffer.from(received)
    const digest = digestOf(bytes, typeof reference === 'string' ? digestAlgorithm(reference) : 'sha256')
    if (typeof reference === 'string' && digest !== reference) {
      throw new RequestError('UNAVAILABLE', 'the upstream registry sent another manifest', { status: 502 })
    }
    const content = parseManifestContent(bytes, mediaType)
    await this.#manifests.put(repository, digest, bytes, content)
    if (typeof reference !== 'string') await this.#manifests.setTag(repository, reference.tag, digest)
    return { bytes, digest, mediaType: content.mediaType }
  }

  #download(repository: string, digest: Digest, size: number): Download {
    const key = `${repository} ${digest}`
    const running = this.#downloads.get(key)
    if (running?.isOpen === true) return running
    const download = new Download({
      path: this.#storage.scratch(),
      digest,
      size,
      fetch: (signal) => this.#upstream.repository(repository).blob({ digest, size }, { signal }),
      keep: (path) => this.#blobs.adopt(path, repository, digest),
    })
    this.#downloads.set(key, download)
    const forget = () => {
      if (this.#downloads.get(key) === download) this.#downloads.delete(key)
    }
    download.done.then(forget, forget)
    return download
  }

  #isFresh(key: string): boolean {
    const at = this.#checked.get(key)
    return at !== undefined && performance.now() - at < this.#ttlMs
  }

  #remember(key: string): void {
    this.#checked.delete(key)
    this.#checked.set(key, performance.now())
    const [oldest] = this.#checked.keys()
    if (this.#checked.size > kMaxRemembered && oldest !== undefined) this.#checked.delete(oldest)
  }
}

async function startedOr(download: Download, digest: Digest): Promise<void> {
  try {
    await download.started()
  } catch (error) {
    if (isAbsent(error)) throw blobUnknown(digest)
    throw new RequestError('UNAVAILABLE', 'the upstream registry cannot be reached or refuses the request')
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof NotFoundError || (error instanceof RegistryError && error.status === 404)
}
