// SPDX-License-Identifier: MIT
import { randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import { type Digest, digestAlgorithm, digestHex, isDigest } from '../oci/digest.ts'
import { makeDirectories, syncDirectory, writeFileAtomic } from '../store/atomic.ts'
import { namesIn, statIfThere, unlinkIfThere } from '../store/files.ts'

/** Files in tmp/ are in use for less than this, unless their process is gone. */
const kTmpAgeMs = 15 * 60_000

/**
 * Where things lie below a registry's root:
 *
 * - `blobs/sha256/ab/abcd…` every blob, once;
 * - `repositories/<name>/_blobs/sha256/<hex>` a hard link to a blob that the repository has;
 * - `repositories/<name>/_manifests/sha256/<hex>` a manifest, `_tags/<tag>` the digest that a tag stands for,
 *   `_referrers/sha256/<hex>/` a file for each manifest that has this one as its subject;
 * - `uploads/<uuid>/` uploads under way; `tmp/` files being written.
 *
 * A part of a repository's name never starts with an underscore, so names and these directories cannot meet.
 */
export class Storage {
  readonly root: string

  private constructor(root: string) {
    this.root = root
  }

  /** Opens a root, makes it when absent, and drops what a killed process left half-written. */
  static async open(root: string): Promise<Storage> {
    const storage = new Storage(root)
    for (const name of ['blobs', 'repositories', 'uploads', 'tmp']) await makeDurably(join(root, name))
    await storage.sweepTmp()
    return storage
  }

  get uploadsDir(): string {
    return join(this.root, 'uploads')
  }

  get blobsDir(): string {
    return join(this.root, 'blobs')
  }

  get repositoriesDir(): string {
    return join(this.root, 'repositories')
  }

  blob(digest: Digest): string {
    const hex = digestHex(digest)
    return join(this.blobsDir, digestAlgorithm(digest), hex.slice(0, 2), hex)
  }

  repository(name: string): string {
    return join(this.repositoriesDir, name)
  }

  /** Place of a repository's blob or manifest. */
  link(repository: string, kind: '_blobs' | '_manifests', digest: Digest): string {
    return join(this.repository(repository), kind, digestAlgorithm(digest), digestHex(digest))
  }

  tag(repository: string, tag: string): string {
    return join(this.repository(repository), '_tags', tag)
  }

  referrers(repository: string, subject: Digest): string {
    return join(this.repository(repository), '_referrers', digestAlgorithm(subject), digestHex(subject))
  }

  /** A path that nobody else uses. */
  scratch(): string {
    return join(this.root, 'tmp', randomUUID())
  }

  /** Writes a small file whole and durably. */
  async write(target: string, bytes: Uint8Array | string): Promise<void> {
    await makeDurably(dirname(target))
    await writeFileAtomic(this.scratch(), target, bytes, 0o644)
  }

  /** Digests that a repository has links for. */
  async listLinks(repository: string, kind: '_blobs' | '_manifests'): Promise<Digest[]> {
    const found: Digest[] = []
    for (const algorithm of ['sha256', 'sha512']) {
      for (const hex of await namesIn(join(this.repository(repository), kind, algorithm))) {
        const digest = `${algorithm}:${hex}`
        if (isDigest(digest)) found.push(digest)
      }
    }
    return found
  }

  async sweepTmp(now = Date.now()): Promise<void> {
    for (const name of await namesIn(join(this.root, 'tmp'))) {
      const path = join(this.root, 'tmp', name)
      const stats = await statIfThere(path)
      if (stats !== undefined && now - stats.mtimeMs > kTmpAgeMs) await unlinkIfThere(path)
    }
  }
}

/** Makes a directory and those above it, durably. */
export async function makeDurably(path: string): Promise<void> {
  const first = await makeDirectories(path)
  if (first === undefined) return
  for (let parent = dirname(path); parent.length >= dirname(first).length; parent = dirname(parent)) {
    await syncDirectory(parent)
    if (parent === dirname(parent)) break
  }
}
