import { lstat, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, isDigest } from '../oci/digest.ts'
import {
  type Descriptor,
  type ImageManifest,
  kMaxConfigBytes,
  kMaxManifestBytes,
  kMediaType,
  parseImageConfig,
} from '../oci/image-config.ts'
import { type IndexedDocument, type IndexReader, parseIndexed, walkIndex } from '../oci/walk-index.ts'
import { isErrno } from './atomic.ts'
import type { BlobStore } from './blob-store.ts'
import { readContainerState } from './container-state.ts'
import { namesIn } from './files.ts'
import type { ImageIndex, IndexEntry } from './image-index.ts'
import type { StoreLayout } from './layout.ts'
import { readAllPins } from './pins.ts'
import type { Session } from './session.ts'

/** What a sweep took away, as paths in tmp/ that are still to be deleted. */
export interface Swept {
  readonly blobs: number
  readonly layers: number
  /** Bytes of those blobs, and of all files of those layers. */
  readonly bytes: number
  readonly trash: readonly string[]
}

/**
 * Moves blobs and layers into tmp/ that no image, no container and no session needs. The caller deletes the trash.
 * It holds the image list's lock, so that nothing becomes needed meanwhile.
 */
export function sweepContent(parts: {
  layout: StoreLayout
  session: Session
  index: ImageIndex
  blobs: BlobStore
}): Promise<Swept> {
  return parts.index.update(async (entries) => ({ result: await sweep(parts, entries) }))
}

async function sweep(
  parts: { layout: StoreLayout; session: Session; blobs: BlobStore },
  entries: readonly IndexEntry[],
): Promise<Swept> {
  const { layout, session, blobs } = parts
  const needed = await readAllPins(layout)
  for (const digest of await containerContent(layout)) needed.add(digest)
  for (const entry of entries) await addImageContent(blobs, entry, needed)
  const trash: string[] = []
  const discard = async (path: string): Promise<void> => {
    const target = session.tmpPath('trash')
    try {
      await rename(path, target)
      trash.push(target)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
    }
  }
  const found = await listContent(layout)
  const unneeded = found.filter(({ digest }) => digest === undefined || !needed.has(digest))
  for (const { path } of unneeded) await discard(path)
  const blobCount = unneeded.filter(({ kind }) => kind === 'blob').length
  const bytes = unneeded.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return { blobs: blobCount, layers: unneeded.length - blobCount, bytes, trash }
}

/** A blob or an unpacked layer that is in the store. */
export interface Content {
  readonly kind: 'blob' | 'layer'
  readonly path: string
  /** `undefined` for a name that is none. */
  readonly digest: Digest | undefined
  /** Of a layer, the bytes of its files. */
  readonly sizeBytes: number
}

/** All blobs and layers, needed or not. */
export async function listContent(layout: StoreLayout): Promise<Content[]> {
  const content: Content[] = []
  for (const algorithm of ['sha256', 'sha512']) {
    const dir = join(layout.oci, 'blobs', algorithm)
    for (const name of await namesIn(dir)) {
      const [path, digest] = [join(dir, name), `${algorithm}:${name}`]
      const sizeBytes = await lstat(path).then(
        ({ size }) => size,
        () => 0,
      )
      content.push({ kind: 'blob', path, digest: isDigest(digest) ? digest : undefined, sizeBytes })
    }
  }
  for (const name of await namesIn(layout.layers)) {
    const path = join(layout.layers, name)
    content.push({ kind: 'layer', path, digest: layerDigest(name), sizeBytes: await unpackedBytes(path) })
  }
  return content
}

async function unpackedBytes(dir: string): Promise<number> {
  try {
    const info = JSON.parse(await readFile(join(dir, 'info.json'), 'utf8')) as { sizeBytes?: unknown }
    return typeof info.sizeBytes === 'number' ? info.sizeBytes : 0
  } catch {
    return 0
  }
}

function layerDigest(name: string): Digest | undefined {
  const text = name.includes('-') ? name.replace('-', ':') : `sha256:${name}`
  return isDigest(text) ? text : undefined
}

/** What containers need, whether or not an image still names it. */
export async function containerContent(layout: StoreLayout): Promise<Digest[]> {
  const found: Digest[] = []
  for (const id of await namesIn(layout.containers)) {
    const state = await readContainerState(join(layout.containers, id, 'state.json'))
    for (const digest of state?.content ?? []) if (isDigest(digest)) found.push(digest)
  }
  return found
}

/** Adds everything that an image of the list needs. What cannot be read needs nothing: such an image cannot be used either. */
export async function addImageContent(blobs: BlobStore, entry: IndexEntry, needed: Set<Digest>): Promise<void> {
  const { digest, mediaType, size } = entry
  const roots: Descriptor[] = [{ digest, mediaType, size }]
  if (entry.index !== undefined) roots.push({ digest: entry.index, mediaType: kMediaType.index, size: 0 })
  const reader: IndexReader = {
    expect: async (children) => {
      for (const { digest } of children) needed.add(digest)
    },
    // The image is one of those that its index names.
    read: async (child) => (child.digest === digest ? undefined : await readIfWhole(blobs, child)),
  }
  for (const each of roots) {
    needed.add(each.digest)
    const root = await readIfWhole(blobs, each)
    if (root?.manifest !== undefined) await addManifestContent(blobs, root.manifest, needed)
    if (root?.index === undefined) continue
    try {
      for await (const { manifest } of walkIndex(root.index, each.digest, reader)) {
        if (manifest !== undefined) await addManifestContent(blobs, manifest, needed)
      }
    } catch {
      // Beyond what is read of an index, for an image or for anything else.
    }
  }
}

async function readIfWhole(blobs: BlobStore, descriptor: Descriptor): Promise<IndexedDocument | undefined> {
  const { digest } = descriptor
  try {
    return parseIndexed(descriptor, await blobs.read(digest, kMaxManifestBytes), digest)
  } catch {
    return undefined
  }
}

async function addManifestContent(blobs: BlobStore, manifest: ImageManifest, needed: Set<Digest>): Promise<void> {
  const { config, layers } = manifest
  for (const { digest } of [config, ...layers]) needed.add(digest)
  try {
    const { rootfs } = parseImageConfig(await blobs.read(config.digest, kMaxConfigBytes), config.digest)
    for (const diffId of rootfs.diff_ids) needed.add(diffId)
  } catch {
    // No image, but an artifact; or unreadable.
  }
}
