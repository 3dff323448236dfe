// SPDX-License-Identifier: MIT
import type { Digest } from '../oci/digest.ts'
import { KeyedLock } from './keyed-lock.ts'
import { parseManifestContent } from './manifest-content.ts'
import type { Manifests } from './manifests.ts'

/** Repositories that are remembered. */
const kMaxRepositories = 100

interface KnownSizes {
  /** Manifests that were read. */
  readonly read: Set<Digest>
  readonly sizes: Map<Digest, number>
}

/**
 * Sizes of blobs by the manifests that a repository has. Each manifest is read once, however often somebody asks: one repository may
 * have thousands.
 */
export class BlobSizes {
  readonly #manifests: Manifests
  readonly #known = new Map<string, KnownSizes>()
  readonly #locks = new KeyedLock()

  constructor(manifests: Manifests) {
    this.#manifests = manifests
  }

  /** Size of a blob in bytes; `undefined` where no manifest of the repository names it. */
  async find(repository: string, digest: Digest): Promise<number | undefined> {
    const known = this.#remembered(repository)
    const size = known.sizes.get(digest)
    if (size !== undefined) return size
    // The layers of an image are asked for all at once.
    return this.#locks.run(repository, async () => {
      if (!known.sizes.has(digest)) await this.#readNew(repository, known)
      return known.sizes.get(digest)
    })
  }

  /** Goes by the names of the files: another server on the same root may have stored some. */
  async #readNew(repository: string, known: KnownSizes): Promise<void> {
    for (const manifest of await this.#manifests.list(repository)) {
      if (!known.read.has(manifest)) await this.#read(repository, manifest, known)
    }
  }

  #remembered(repository: string): KnownSizes {
    const known = this.#known.get(repository) ?? { read: new Set(), sizes: new Map() }
    this.#known.delete(repository)
    this.#known.set(repository, known)
    const [oldest] = this.#known.keys()
    if (this.#known.size > kMaxRepositories && oldest !== undefined) this.#known.delete(oldest)
    return known
  }

  async #read(repository: string, digest: Digest, { read, sizes }: KnownSizes): Promise<void> {
    const stored = await this.#manifests.get(repository, digest)
    // One that is damaged may be stored again.
    if (stored === undefined) return
    for (const blob of parseManifestContent(stored.bytes, stored.mediaType).blobs) sizes.set(blob.digest, blob.size)
    read.add(digest)
  }
}
