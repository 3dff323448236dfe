// SPDX-License-Identifier: MIT
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../oci/digest.ts'
import { namesIn, statIfThere, unlinkIfThere } from '../store/files.ts'
import { walkRepositories } from './listing.ts'
import { parseManifestContent } from './manifest-content.ts'
import type { ServerParts } from './parts.ts'

/** Options of `RegistryServer.collectGarbage()`. */
export interface CollectGarbageOptions {
  /**
   * Blobs that somebody pushed or asked for in this time, give or take a second, stay: a manifest may follow. With a time that is
   * shorter than a push lasts, the push is refused at its manifest. Where other processes serve the same root, give a minute at least.
   *
   * @default 3_600_000 (an hour)
   */
  minAgeMs?: number
  signal?: AbortSignal
}

/** What was removed. */
export interface CollectGarbageResult {
  blobs: number
  bytes: number
}

/**
 * Removes blobs that no manifest of their repository refers to.
 *
 * Pushes may go on meanwhile. A repository is locked while its links are looked at; a link that was touched since is left. The
 * name that repositories share goes when its count of links says that nobody else has the blob, and should somebody link it at
 * this very moment, that link keeps the bytes.
 */
export async function collectGarbage(
  parts: ServerParts,
  { minAgeMs = 3_600_000, signal }: CollectGarbageOptions = {},
): Promise<CollectGarbageResult> {
  const before = Date.now() - minAgeMs
  for await (const repository of walkRepositories(parts.storage.repositoriesDir)) {
    signal?.throwIfAborted()
    await parts.locks.run(repository, () => dropLinks(parts, repository, before))
  }
  return dropShared(parts.storage.blobsDir, before, signal)
}

async function dropLinks(
  { storage, manifests, blobs }: ServerParts,
  repository: string,
  before: number,
): Promise<void> {
  const used = new Set<Digest>()
  for (const digest of await manifests.list(repository)) {
    const stored = await manifests.get(repository, digest)
    if (stored === undefined) continue
    const content = parseManifestContent(stored.bytes, stored.mediaType)
    for (const { digest } of [...content.blobs, ...content.children]) used.add(digest)
  }
  for (const digest of await storage.listLinks(repository, '_blobs')) {
    if (!used.has(digest)) await blobs.removeUntouched(repository, digest, before)
  }
}

async function dropShared(
  blobsDir: string,
  before: number,
  signal: AbortSignal | undefined,
): Promise<CollectGarbageResult> {
  const removed = { blobs: 0, bytes: 0 }
  for (const algorithm of await readdir(blobsDir)) {
    for (const prefix of await namesIn(join(blobsDir, algorithm))) {
      signal?.throwIfAborted()
      for (const hex of await namesIn(join(blobsDir, algorithm, prefix))) {
        const path = join(blobsDir, algorithm, prefix, hex)
        const stats = await statIfThere(path)
        if (stats === undefined || stats.nlink > 1 || stats.mtimeMs > before) continue
        if (!(await unlinkIfThere(path))) continue
        removed.blobs++
        removed.bytes += stats.size
      }
    }
  }
  return removed
}
