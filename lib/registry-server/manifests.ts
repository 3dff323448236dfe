// SPDX-License-Identifier: MIT
import { join } from 'node:path'
import * as v from 'valibot'
import { NotFoundError } from '../errors.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf, isDigest } from '../oci/digest.ts'
import { isTag } from '../oci/reference.ts'
import { readBounded } from '../store/blob-store.ts'
import { namesIn, statIfThere, unlinkIfThere } from '../store/files.ts'
import type { ManifestContent } from './manifest-content.ts'
import type { Storage } from './storage.ts'

/** A record is a line of JSON, then the manifest as it came. */
const kMaxRecordHead = 1024
const headSchema = v.object({ mediaType: v.string() })

/** An entry in a list of referrers. */
export interface ReferrerDescriptor {
  mediaType: string
  digest: Digest
  size: number
  artifactType?: string | undefined
  annotations?: Record<string, string> | undefined
}

/** A manifest as it came, and its type. */
export interface StoredManifest {
  digest: Digest
  mediaType: string
  bytes: Buffer
}

/** Manifests, tags and referrers of repositories, each in a file of its own. */
export class Manifests {
  readonly #storage: Storage
  readonly #maxBytes: number

  constructor(storage: Storage, maxBytes: number) {
    this.#storage = storage
    this.#maxBytes = maxBytes
  }

  has(repository: string, digest: Digest): Promise<boolean> {
    return exists(this.#path(repository, digest))
  }

  /** Reads a manifest; one whose bytes were damaged on disk counts as absent, so that it can be pushed again. */
  async get(repository: string, digest: Digest): Promise<StoredManifest | undefined> {
    const record = await readIfAny(this.#path(repository, digest), this.#maxBytes + kMaxRecordHead)
    if (record === undefined) return undefined
    const end = record.indexOf(0x0a)
    const bytes = record.subarray(end + 1)
    if (end === -1 || digestOf(bytes, digestAlgorithm(digest)) !== digest) return undefined
    return { digest, bytes, ...v.parse(headSchema, JSON.parse(record.subarray(0, end).toString())) }
  }

  /** Stores a manifest, and lists it among the referrers of its subject. */
  async put(repository: string, digest: Digest, bytes: Buffer, content: ManifestContent): Promise<void> {
    const { mediaType, subject } = content
    if (subject !== undefined) {
      // First the entry: one without a manifest is passed over, a manifest without an entry would never be found.
      const descriptor = describeReferrer(digest, bytes.byteLength, content)
      await this.#storage.write(this.#referrerPath(repository, subject, digest), JSON.stringify(descriptor))
    }
    const head = Buffer.from(`${JSON.stringify({ mediaType })}\n`)
    await this.#storage.write(this.#path(repository, digest), Buffer.concat([head, bytes]))
  }

  /** Removes a manifest and its tags. @returns whether it was there. */
  async remove(repository: string, digest: Digest, subject: Digest | undefined): Promise<boolean> {
    for (const tag of await this.tags(repository)) {
      if ((await this.resolve(repository, tag)) === digest) await this.removeTag(repository, tag)
    }
    const removed = await unlinkIfThere(this.#path(repository, digest))
    if (subject !== undefined) await unlinkIfThere(this.#referrerPath(repository, subject, digest))
    return removed
  }

  list(repository: string): Promise<Digest[]> {
    return this.#storage.listLinks(repository, '_manifests')
  }

  /** Tags in the order of their code units. */
  async tags(repository: string): Promise<string[]> {
    const names = await namesIn(join(this.#storage.repository(repository), '_tags'))
    return names.filter(isTag).sort()
  }

  /** The digest that a tag stands for. */
  async resolve(repository: string, tag: string): Promise<Digest | undefined> {
    const text = (await readIfAny(this.#storage.tag(repository, tag), kMaxRecordHead))?.toString()
    return text !== undefined && isDigest(text) ? text : undefined
  }

  async setTag(repository: string, tag: string, digest: Digest): Promise<void> {
    await this.#storage.write(this.#storage.tag(repository, tag), digest)
  }

  removeTag(repository: string, tag: string): Promise<boolean> {
    return unlinkIfThere(this.#storage.tag(repository, tag))
  }

  /** Entries recorded for a subject, in the order of their names; their manifests may be gone. */
  async referrers(repository: string, subject: Digest): Promise<ReferrerDescriptor[]> {
    const dir = this.#storage.referrers(repository, subject)
    const found: ReferrerDescriptor[] = []
    for (const name of (await namesIn(dir)).sort()) {
      const text = (await readIfAny(join(dir, name), this.#maxBytes))?.toString()
      // The server's own file, written whole.
      if (text !== undefined) found.push(JSON.parse(text) as ReferrerDescriptor)
    }
    return found
  }

  /** Whether anything was ever pushed under this name. */
  async knows(repository: string): Promise<boolean> {
    for (const kind of ['_manifests', '_blobs']) {
      if (await exists(join(this.#storage.repository(repository), kind))) return true
    }
    return false
  }

  #path(repository: string, digest: Digest): string {
    return this.#storage.link(repository, '_manifests', digest)
  }

  #referrerPath(repository: string, subject: Digest, digest: Digest): string {
    return join(this.#storage.referrers(repository, subject), `${digestAlgorithm(digest)}-${digestHex(digest)}`)
  }
}

/** Makes the entry that stands for a manifest in a list of referrers. */
export function describeReferrer(digest: Digest, size: number, content: ManifestContent): ReferrerDescriptor {
  const { mediaType, artifactType, annotations } = content
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}

async function exists(path: string): Promise<boolean> {
  return (await statIfThere(path)) !== undefined
}

async function readIfAny(path: string, maxBytes: number): Promise<Buffer | undefined> {
  try {
    return await readBounded(path, maxBytes, path)
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}
