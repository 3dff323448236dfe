import { IntegrityError, NotFoundError } from '../errors.ts'
import { type Digest, digestOf, isDigest, verifyDigest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/image-config.ts'
import { type Purpose, protocolError } from './answer-error.ts'
import { downloadBlob } from './blob-download.ts'
import { type BlobPush, type OpenBlob, uploadBlob } from './blob-upload.ts'
import { readStart } from './body.ts'
import { type Endpoint, repositoryScope, requireHeader } from './endpoint.ts'
import { getManifest, headManifest, type ManifestHead, type ManifestRequest, type RemoteManifest } from './manifests.ts'
import { listNames } from './paging.ts'
import type { Answer } from './redirects.ts'
import { listReferrers, updateReferrersTag } from './referrers.ts'
import type { RegistryClient } from './registry-client.ts'

/** What all reads take. */
export interface ReadOptions {
  readonly signal?: AbortSignal | undefined
  /** Asks the registry itself, not its mirrors. @default false */
  readonly direct?: boolean | undefined
}

/** Options of {@link Repository.manifest}. */
export interface ManifestOptions extends ReadOptions {
  /** Media types. @default OCI manifest and index, Docker's manifest and list of schema 2 */
  readonly accept?: readonly string[] | undefined
  /** @default 4 MiB */
  readonly maxBytes?: number | undefined
}

/** Options of {@link Repository.pushBlob}. */
export interface PushBlobOptions {
  readonly signal?: AbortSignal | undefined
  /** Called with the bytes of the blob that have been handed to the connection; falls back where an upload starts again. */
  readonly onBytes?: ((sentBytes: number) => void) | undefined
  /** Another repository of the registry that has the blob, so that nothing needs to be sent. */
  readonly mountFrom?: string | undefined
}

/** One repository of a registry. Made by {@link RegistryClient.repository}. */
export class Repository {
  /** Such as `library/alpine`. */
  readonly path: string
  readonly #client: RegistryClient

  constructor(client: RegistryClient, path: string) {
    this.#client = client
    this.path = path
  }

  /** With the registry's name. */
  get name(): string {
    return `${this.#client.name}/${this.path}`
  }

  /** Whether reads may be answered by others than the registry, unless they are `direct`. */
  get hasMirrors(): boolean {
    return this.#client.sources(false).length > 1
  }

  /**
   * Gets a manifest or index, verified against the reference where that is a digest, and against what the registry announced.
   *
   * @param reference - tag or digest.
   * @throws {NotFoundError} @throws {RegistryError} @throws {IntegrityError} @throws {UnsupportedImageError} for Docker schema 1.
   */
  manifest(reference: string, options: ManifestOptions = {}): Promise<RemoteManifest> {
    return this.#client.read(options, (endpoint) => {
      return getManifest(endpoint, { ...options, ...this.#manifestRequest(endpoint, 'get', reference) })
    })
  }

  /** What the registry says of a manifest. @returns `undefined` where it does not exist. */
  async headManifest(reference: string, options: ManifestOptions = {}): Promise<ManifestHead | undefined> {
    const head = await this.#client.read(options, async (endpoint) => {
      const request = { ...options, ...this.#manifestRequest(endpoint, 'look up', reference) }
      const found = await headManifest(endpoint, request)
      // A mirror that lacks it says nothing about the registry.
      if (found === undefined && endpoint !== this.#client.registry)
        throw new NotFoundError(`${reference} is not on the mirror.`)
      return found
    })
    if (head !== 'unknown') return head
    const { bytes, digest, mediaType } = await this.manifest(reference, options)
    return { digest, mediaType, sizeBytes: bytes.length }
  }

  /**
   * Streams a blob: exactly its bytes from `offset` on, over as many connections as it takes.
   *
   * The digest is not verified, which is for the consumer to do, as is giving up the iteration to stop the download.
   *
   * @throws {IntegrityError} when there are more or fewer bytes than announced. @throws {NotFoundError} @throws {RegistryError}
   */
  blob(
    descriptor: { readonly digest: Digest; readonly size: number },
    options: ReadOptions & { readonly offset?: number | undefined } = {},
  ): AsyncIterable<Buffer> {
    const subject = `Blob ${descriptor.digest} of ${this.name}`
    return downloadBlob(this.#client.sources(options.direct === true), {
      purpose: this.#purpose(`Cannot get blob ${descriptor.digest} of ${this.name}`, subject),
      repository: this.path,
      descriptor,
      scopes: (endpoint) => this.#scopes(endpoint, 'pull'),
      offset: options.offset ?? 0,
      signal: options.signal,
    })
  }

  /** Gets a small blob whole, verified. @throws {IntegrityError} when it is announced with more than `maxBytes`. */
  async smallBlob(
    descriptor: { readonly digest: Digest; readonly size: number },
    maxBytes: number,
    options: ReadOptions = {},
  ): Promise<Buffer> {
    const what = `Blob ${descriptor.digest} of ${this.name}`
    if (descriptor.size > maxBytes)
      throw new IntegrityError(`Size of ${what}`, `at most ${maxBytes}`, `${descriptor.size}`)
    try {
      return await this.#wholeBlob(descriptor, what, options)
    } catch (error) {
      // A mirror may have sent something else.
      if (!(error instanceof IntegrityError) || options.direct === true || !this.hasMirrors) throw error
      return this.#wholeBlob(descriptor, what, { ...options, direct: true })
    }
  }

  async #wholeBlob(
    descriptor: { readonly digest: Digest; readonly size: number },
    what: string,
    options: ReadOptions,
  ): Promise<Buffer> {
    const chunks: Buffer[] = []
    for await (const chunk of this.blob(descriptor, options)) chunks.push(chunk)
    const bytes = Buffer.concat(chunks)
    verifyDigest(descriptor.digest, bytes, what)
    return bytes
  }

  /** Whether the registry itself (no mirror) has a blob in this repository. */
  async hasBlob(digest: Digest, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<boolean> {
    const purpose = this.#purpose(`Cannot look up blob ${digest} of ${this.name}`)
    const { signal } = options
    return (await this.#client.write(signal, () => this.#headBlob(purpose, digest, 'pull', signal))) !== undefined
  }

  /** Size of a blob in bytes, as the registry says. @returns `undefined` where it does not exist. @throws {RegistryError} */
  blobSize(digest: Digest, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<number | undefined> {
    const purpose = this.#purpose(`Cannot look up blob ${digest} of ${this.name}`)
    return this.#client.write(options.signal, async () => {
      const answer = await this.#headBlob(purpose, digest, 'pull', options.signal)
      if (answer === undefined) return undefined
      const size = Number(requireHeader(purpose, answer, 'content-length'))
      if (Number.isSafeInteger(size) && size >= 0) return size
      throw protocolError(purpose, 'HEAD', answer.url, 'does not say the size of the blob')
    })
  }

  /** Makes a blob of another repository part of this one. @returns whether the registry did so. */
  async mountBlob(
    digest: Digest,
    fromRepository: string,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<boolean> {
    const push = this.#push({ digest, size: 0 }, undefined, { ...options, mountFrom: fromRepository })
    return (await uploadBlob(this.#client, push)) === 'mounted'
  }

  /**
   * Brings a blob to the registry, unless it is there already.
   *
   * @param open - gives the blob's bytes from an offset on; called again where an upload has to be continued.
   * @throws {IntegrityError} when `open` gives more or fewer bytes than announced. What `open` throws is passed on.
   */
  async pushBlob(
    descriptor: { readonly digest: Digest; readonly size: number },
    open: OpenBlob,
    options: PushBlobOptions = {},
  ): Promise<'exists' | 'mounted' | 'uploaded'> {
    const purpose = this.#purpose(`Cannot push blob ${descriptor.digest} to ${this.name}`)
    const { signal } = options
    const known = await this.#client.write(signal, () =>
      this.#headBlob(purpose, descriptor.digest, 'pull,push', signal),
    )
    if (known !== undefined) return 'exists'
    const result = await uploadBlob(this.#client, this.#push(descriptor, open, options))
    return result === 'mounted' ? 'mounted' : 'uploaded'
  }

  /**
   * Puts a manifest under a tag or its digest. Where the registry does not know the referrers API, a manifest with a subject is
   * entered into the subject's referrers tag.
   *
   * @returns the digest, which the registry confirmed if it says one.
   * @throws {IntegrityError} when the registry has another digest for it.
   */
  async pushManifest(
    reference: string,
    bytes: Uint8Array,
    mediaType: string,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Digest> {
    const { digest, hasReferrersApi } = await this.#putManifest(reference, bytes, mediaType, options.signal)
    if (!hasReferrersApi) await updateReferrersTag(this, { bytes, mediaType, digest }, options.signal)
    return digest
  }

  /** The tags, in the registry's order. */
  tags(options: { readonly signal?: AbortSignal | undefined } = {}): AsyncIterable<string> {
    const purpose = this.#purpose(`Cannot list the tags of ${this.name}`, `Repository ${this.name}`)
    const endpoint = this.#client.registry
    const target = `${endpoint.pathOf(this.path)}/tags/list?n=1000`
    const scopes = this.#scopes(endpoint, 'pull')
    return listNames(endpoint, { purpose, target, scopes, field: 'tags', signal: options.signal })
  }

  /** Manifests that name `digest` as their subject: signatures, SBOMs, attestations. */
  referrers(
    digest: Digest,
    options: { readonly artifactType?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Descriptor[]> {
    const endpoint = this.#client.registry
    return listReferrers(endpoint, this, {
      ...options,
      purpose: this.#purpose(`Cannot list the referrers of ${this.name}@${digest}`),
      target: `${endpoint.pathOf(this.path)}/referrers/${digest}`,
      scopes: this.#scopes(endpoint, 'pull'),
      digest,
    })
  }

  /** Deletes a manifest by digest, or a tag where the registry can. @throws {NotFoundError} @throws {RegistryError} */
  deleteManifest(reference: string, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const subject = isDigest(reference) ? `Manifest ${reference} of ${this.name}` : `Tag ${reference} of ${this.name}`
    return this.#delete(
      `manifests/${reference}`,
      this.#purpose(`Cannot delete ${reference} of ${this.name}`, subject),
      options,
    )
  }

  /** Deletes a blob. @throws {NotFoundError} @throws {RegistryError} */
  deleteBlob(digest: Digest, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const subject = `Blob ${digest} of ${this.name}`
    return this.#delete(
      `blobs/${digest}`,
      this.#purpose(`Cannot delete blob ${digest} of ${this.name}`, subject),
      options,
    )
  }

  async #delete(tail: string, purpose: Purpose, options: { readonly signal?: AbortSignal | undefined }): Promise<void> {
    await this.#client.write(options.signal, async (endpoint) => {
      const target = `${endpoint.pathOf(this.path)}/${tail}`
      const scopes = this.#scopes(endpoint, 'pull,delete')
      const request = { purpose, method: 'DELETE', target, scopes, expected: [200, 202, 204] } as const
      const answer = await endpoint.request({ ...request, signal: options.signal })
      await readStart(answer.body)
    })
  }

  async #putManifest(
    reference: string,
    bytes: Uint8Array,
    mediaType: string,
    signal: AbortSignal | undefined,
  ): Promise<{ digest: Digest; hasReferrersApi: boolean }> {
    const purpose = this.#purpose(`Cannot push ${reference} to ${this.name}`)
    const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    return this.#client.write(signal, async (endpoint) => {
      const answer = await endpoint.request({
        purpose,
        method: 'PUT',
        target: `${endpoint.pathOf(this.path)}/manifests/${reference}`,
        scopes: this.#scopes(endpoint, 'pull,push'),
        headers: { 'content-type': mediaType },
        body: () => body,
        expected: [200, 201, 202],
        signal,
      })
      await readStart(answer.body)
      const digest = confirmDigest(this.name, reference, body, answer.headers['docker-content-digest'])
      return { digest, hasReferrersApi: answer.headers['oci-subject'] !== undefined }
    })
  }

  async #headBlob(
    purpose: Purpose,
    digest: Digest,
    actions: string,
    signal: AbortSignal | undefined,
  ): Promise<Answer | undefined> {
    const endpoint = this.#client.registry
    const target = `${endpoint.pathOf(this.path)}/blobs/${digest}`
    const scopes = this.#scopes(endpoint, actions)
    const answer = await endpoint.request({ purpose, method: 'HEAD', target, scopes, expected: [200, 404], signal })
    answer.body.resume()
    return answer.status === 200 ? answer : undefined
  }

  #push(
    descriptor: { readonly digest: Digest; readonly size: number },
    open: OpenBlob | undefined,
    options: PushBlobOptions,
  ): BlobPush {
    const endpoint = this.#client.registry
    const { mountFrom } = options
    const from = mountFrom === undefined ? [] : [repositoryScope(endpoint.pathOf(mountFrom), 'pull')]
    return {
      purpose: this.#purpose(`Cannot push blob ${descriptor.digest} to ${this.name}`),
      path: endpoint.pathOf(this.path),
      mountFrom: mountFrom === undefined ? undefined : endpoint.pathOf(mountFrom),
      scopes: this.#scopes(endpoint, 'pull,push'),
      mountScopes: [...this.#scopes(endpoint, 'pull,push'), ...from],
      descriptor,
      open,
      onBytes: options.onBytes,
      signal: options.signal,
    }
  }

  #manifestRequest(endpoint: Endpoint, verb: string, reference: string): Omit<ManifestRequest, 'signal'> {
    const subject = isDigest(reference) ? `Manifest ${reference} of ${this.name}` : `Tag ${reference} of ${this.name}`
    const purpose = this.#purpose(`Cannot ${verb} ${reference} of ${this.name}`, subject)
    return { purpose, repository: this.path, reference, scopes: this.#scopes(endpoint, 'pull') }
  }

  #scopes(endpoint: Endpoint, actions: string): string[] {
    return [repositoryScope(endpoint.pathOf(this.path), actions)]
  }

  #purpose(intent: string, subject?: string): Purpose {
    return { intent, registry: this.#client.name, ...(subject === undefined ? {} : { subject }) }
  }
}

function confirmDigest(name: string, reference: string, bytes: Buffer, announced: unknown): Digest {
  const digest = isDigest(reference) ? reference : digestOf(bytes)
  verifyDigest(digest, bytes, `Manifest ${reference} of ${name}`)
  if (typeof announced === 'string' && isDigest(announced)) {
    verifyDigest(announced, bytes, `Manifest ${reference} that ${name} confirmed`)
  }
  return digest
}
