import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { removeCredentials, saveCredentials } from './distribution/login.ts'
import type { RemoteManifest } from './distribution/manifests.ts'
import { kRegistryOptionNames, RegistryClient, type RegistryClientOptions } from './distribution/registry-client.ts'
import type { Repository } from './distribution/repository.ts'
import type { SearchResult } from './distribution/search.ts'
import { IntegrityError, InvalidOptionError, NotFoundError } from './errors.ts'
import { loadNative } from './launcher/native.ts'
import { type Digest, digestAlgorithm, finishDigest, parseDigest } from './oci/digest.ts'
import type { Descriptor } from './oci/image-config.ts'
import { Reference } from './oci/reference.ts'
import { checkNumber, checkObject, checkString } from './options/checks.ts'
import type { RegistryServerOptions } from './registry-server/options.ts'
import type { RegistryServer } from './registry-server/registry-server.ts'

/** How a registry is reached. */
export interface RegistryOptions extends RegistryClientOptions {}

/** What all methods take. */
export interface RegistryCallOptions {
  readonly signal?: AbortSignal
}

/** A reference with what it stands for now. */
export interface ResolvedReference {
  /** With the digest instead of the tag: what stays the same when the tag moves. */
  readonly reference: string
  readonly digest: Digest
  readonly mediaType: string
  readonly sizeBytes: number
}

/**
 * A registry, such as Docker Hub (`docker.io`) or one on this machine (`localhost:5000`).
 *
 * Connections stay open for further calls for some seconds; {@link Registry.close} ends them. Repositories are named as after
 * the host in a reference: `alpine` or `library/alpine`; references may begin with the host or leave it out.
 *
 * @example
 * await using registry = new Registry('localhost:5000')
 * for await (const tag of registry.tags('demo/app')) console.log(tag)
 */
export class Registry {
  readonly #client: RegistryClient
  readonly #host: string
  readonly #options: RegistryOptions

  /** Connects to nothing yet. @throws {InvalidOptionError} */
  constructor(host: string, options: RegistryOptions = {}) {
    checkObject('options', options, kRegistryOptionNames)
    this.#host = checkString('host', host)
    this.#options = options
    this.#client = new RegistryClient(host, options)
  }

  /**
   * Starts a registry in this process.
   *
   * @returns when it listens.
   */
  static async serve(options: RegistryServerOptions = {}): Promise<RegistryServer> {
    const { serveRegistry } = await import('./registry-server/registry-server.ts')
    return serveRegistry(options)
  }

  /** As in references: `docker.io`, `localhost:5000`. */
  get host(): string {
    return this.#client.name
  }

  /** Checks that the registry is there and takes the credentials. @throws {RegistryError} @throws {RegistryAuthError} */
  ping(options: RegistryCallOptions = {}): Promise<void> {
    return this.#client.ping(options)
  }

  /** The tags of a repository, page by page as they are needed. @throws {NotFoundError} @throws {RegistryError} */
  tags(repository: string, options: RegistryCallOptions = {}): AsyncIterable<string> {
    return this.#repository(repository).tags(options)
  }

  /** The repositories, where the registry tells them: Docker Hub and most hosted ones do not. @throws {RegistryError} */
  catalog(options: RegistryCallOptions = {}): AsyncIterable<string> {
    return this.#client.catalog(options)
  }

  /**
   * Finds repositories: on Docker Hub by its search service, elsewhere by a part of the name among {@link Registry.catalog}.
   *
   * @param options.limit - most results, 1 to 100. @default 25
   */
  search(query: string, options: RegistryCallOptions & { readonly limit?: number } = {}): Promise<SearchResult[]> {
    checkNumber('limit', options.limit, { min: 1, max: 100, integer: true })
    return this.#client.search(checkString('query', query), options)
  }

  /** Finds out what a reference stands for, without its content. @throws {NotFoundError} @throws {RegistryError} */
  async resolve(reference: string, options: RegistryCallOptions = {}): Promise<ResolvedReference> {
    const { parsed, repository, target } = this.#parse(reference)
    const head = await repository.headManifest(target, options)
    if (head === undefined) throw new NotFoundError(`${parsed} does not exist.`)
    return { reference: parsed.withDigest(head.digest).toString(), ...head }
  }

  /**
   * Gets a manifest or index, verified.
   *
   * @throws {NotFoundError} @throws {RegistryError} @throws {IntegrityError} @throws {UnsupportedImageError} for Docker schema 1.
   */
  manifest(reference: string, options: RegistryCallOptions = {}): Promise<RemoteManifest> {
    const { repository, target } = this.#parse(reference)
    return repository.manifest(target, options)
  }

  /**
   * Streams a blob. The stream fails, instead of ending, with {@link IntegrityError} where the bytes are not those of the digest.
   *
   * @param options.sizeBytes - where it is known already, as from a manifest; it is asked for otherwise.
   * @throws {NotFoundError} @throws {RegistryError} by the stream.
   */
  blob(
    repository: string,
    digest: string,
    options: RegistryCallOptions & { readonly sizeBytes?: number } = {},
  ): Readable {
    const parsed = parseDigest(digest)
    checkNumber('sizeBytes', options.sizeBytes, { min: 0, integer: true })
    return Readable.from(verifiedBlob(this.#repository(repository), parsed, options), {
      objectMode: false,
      highWaterMark: 256 * 1024,
    })
  }

  /** Manifests (signatures, SBOMs, attestations) that name the reference's manifest as their subject. */
  async referrers(
    reference: string,
    options: RegistryCallOptions & { readonly artifactType?: string } = {},
  ): Promise<Descriptor[]> {
    const { parsed, repository } = this.#parse(reference)
    const digest = parsed.digest ?? (await this.resolve(reference, options)).digest
    return repository.referrers(digest, options)
  }

  /**
   * Deletes what a reference with a digest names. With a tag only the tag goes, which not every registry can do; by digest go all
   * tags that stand for it. Blobs go when the registry collects its garbage.
   *
   * @throws {NotFoundError} @throws {RegistryError}
   */
  delete(reference: string, options: RegistryCallOptions = {}): Promise<void> {
    const { repository, target } = this.#parse(reference)
    return repository.deleteManifest(target, options)
  }

  /**
   * Tries credentials and, when the registry takes them, keeps them where `docker login` does: with the credential helper that
   * Docker's config.json names, else in that file. This object goes on with what it was made with; a new one finds them.
   *
   * @throws {RegistryAuthError} when they are refused. Nothing is kept then.
   */
  async login(
    credentials: { readonly username: string; readonly password: string },
    options: RegistryCallOptions = {},
  ): Promise<void> {
    const { username, password } = checkObject('credentials', credentials, ['username', 'password'])
    if (typeof username !== 'string' || typeof password !== 'string' || username === '') {
      throw new InvalidOptionError('credentials', '{ username, password }', '(hidden)')
    }
    const auth = { username, password }
    const client = new RegistryClient(this.#host, { ...this.#options, auth })
    try {
      await client.ping(options)
    } finally {
      await client.close()
    }
    await saveCredentials(loadNative(), this.host, auth, options.signal)
  }

  /** Forgets the credentials that Docker's config.json or its helper have for this registry. @returns whether there were any. */
  async logout(options: RegistryCallOptions = {}): Promise<boolean> {
    return removeCredentials(loadNative(), this.host, options.signal)
  }

  /** Ends all connections; calls under way fail. */
  close(): Promise<void> {
    return this.#client.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #repository(path: string): Repository {
    return this.#client.repository(Reference.parse(`${this.host}/${checkString('repository', path)}`).path)
  }

  #parse(text: string): { parsed: Reference; repository: Repository; target: string } {
    checkString('reference', text)
    const parsed = Reference.parse(text.startsWith(`${this.host}/`) ? text : `${this.host}/${text}`)
    const target = parsed.digest ?? parsed.tag ?? 'latest'
    return { parsed, repository: this.#client.repository(parsed.path), target }
  }
}

async function* verifiedBlob(
  repository: Repository,
  digest: Digest,
  options: RegistryCallOptions & { readonly sizeBytes?: number },
): AsyncGenerator<Buffer, void, undefined> {
  const what = `Blob ${digest} of ${repository.name}`
  const size = options.sizeBytes ?? (await repository.blobSize(digest, options))
  if (size === undefined) throw new NotFoundError(`${what} does not exist.`)
  const hash = createHash(digestAlgorithm(digest))
  for await (const chunk of repository.blob({ digest, size }, options)) {
    hash.update(chunk)
    yield chunk
  }
  const actual = finishDigest(hash, digestAlgorithm(digest))
  if (actual !== digest) throw new IntegrityError(what, digest, actual)
}
