// SPDX-License-Identifier: MIT
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../oci/digest.ts'
import type { BlobStore } from './blob-store.ts'
import { namesIn } from './files.ts'
import type { ImageIndex } from './image-index.ts'
import type { StoreLayout } from './layout.ts'
import { readAllPins } from './pins.ts'
import { addImageContent, type Content, listContent } from './sweep.ts'
import { treeBytes } from './tree-size.ts'
import type { Uses } from './uses.ts'

/** A number of things, and the bytes that they take. */
export interface UsageEntry {
  readonly count: number
  readonly bytes: number
  /** Of these, what a prune could free. */
  readonly reclaimableBytes: number
}

/** What the state directory holds. */
export interface DiskUsage {
  /** Images that have a place in the list: their blobs and layers, each counted once. Reclaimable is what no container uses. */
  readonly images: UsageEntry & { readonly inUse: number }
  /** All unpacked layers, also those of images; bytes of their files. Reclaimable is what no image and no engine needs. */
  readonly layers: UsageEntry
  /** All blobs (manifests, configurations, compressed layers), also those of images. */
  readonly blobs: UsageEntry
  /** Containers, with their writable layers; also those of runs that are under way. */
  readonly containers: UsageEntry
  /** Volumes, with the files in them. Reclaimable is what no container has. */
  readonly volumes: UsageEntry & { readonly inUse: number }
  /** Downloads that were interrupted or are going on. */
  readonly partialDownloads: UsageEntry
  /** What is being loaded, written or deleted at this moment. */
  readonly temporary: UsageEntry
  /** Everything below the root but images' lists and locks. */
  readonly totalBytes: number
}

/** Counts what is in the store. Others may be working in it: the numbers are those of a moment. */
export async function measureDiskUsage(parts: {
  layout: StoreLayout
  blobs: BlobStore
  index: ImageIndex
  uses: Uses
  /** Names of the volumes that containers have. */
  usedVolumes: ReadonlySet<string>
}): Promise<DiskUsage> {
  const { layout, blobs, index, uses, usedVolumes } = parts
  const [entries, users] = [await index.read(), await uses.all()]
  const [listed, used] = [new Set<Digest>(), new Set<Digest>()]
  for (const entry of entries) {
    await addImageContent(blobs, entry, listed)
    if (users.has(entry.digest)) await addImageContent(blobs, entry, used)
  }
  const pinned = await readAllPins(layout)
  const content = await listContent(layout)
  const isIn = (set: Set<Digest>, { digest }: Content): boolean => digest !== undefined && set.has(digest)
  const ofImages = content.filter((each) => isIn(listed, each))
  const unneeded = content.filter((each) => !isIn(listed, each) && !isIn(pinned, each))
  const countOf = (kind: Content['kind']): UsageEntry => {
    const all = content.filter((each) => each.kind === kind)
    return { count: all.length, bytes: sum(all), reclaimableBytes: sum(unneeded.filter((each) => each.kind === kind)) }
  }
  const images = {
    count: entries.length,
    inUse: entries.filter((entry) => users.has(entry.digest)).length,
    bytes: sum(ofImages),
    reclaimableBytes: sum(ofImages.filter((each) => !isIn(used, each))),
  }
  const containers = await measureContainers(layout)
  const volumes = await measureVolumes(layout, usedVolumes)
  const partialDownloads = await measureFolder(layout.partial, true)
  const temporary = await measureFolder(layout.tmp, false)
  const [layers, blobUsage] = [countOf('layer'), countOf('blob')]
  const all = [layers, blobUsage, containers, volumes, partialDownloads, temporary]
  const totalBytes = all.reduce((total, { bytes }) => total + bytes, 0)
  return { images, layers, blobs: blobUsage, containers, volumes, partialDownloads, temporary, totalBytes }
}

function sum(content: readonly Content[]): number {
  return content.reduce((total, { sizeBytes }) => total + sizeBytes, 0)
}

async function measureFolder(dir: string, reclaimable: boolean): Promise<UsageEntry> {
  let bytes = 0
  const names = await namesIn(dir)
  for (const name of names) bytes += await treeBytes(join(dir, name))
  return { count: names.length, bytes, reclaimableBytes: reclaimable ? bytes : 0 }
}

async function measureVolumes(layout: StoreLayout, used: ReadonlySet<string>): Promise<DiskUsage['volumes']> {
  const names = await namesIn(layout.volumes)
  let [bytes, reclaimableBytes] = [0, 0]
  for (const name of names) {
    const ownBytes = await treeBytes(join(layout.volumes, name))
    bytes += ownBytes
    if (!used.has(name)) reclaimableBytes += ownBytes
  }
  return { count: names.length, inUse: names.filter((name) => used.has(name)).length, bytes, reclaimableBytes }
}

/** Directories of containers, and of runs: the numbered ones below a session. */
async function measureContainers(layout: StoreLayout): Promise<UsageEntry> {
  const kept = await measureFolder(layout.containers, false)
  let { count, bytes } = kept
  for (const session of await readdir(layout.sessions)) {
    if (session.endsWith('.lock')) continue
    for (const name of await namesIn(join(layout.sessions, session))) {
      if (!/^\d+$/.test(name)) continue
      count++
      bytes += await treeBytes(join(layout.sessions, session, name))
    }
  }
  return { count, bytes, reclaimableBytes: 0 }
}
