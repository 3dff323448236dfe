import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, isDigest } from '../oci/digest.ts'
import {
  isIndexMediaType,
  kMaxConfigBytes,
  kMaxManifestBytes,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from '../oci/image-config.ts'
import { isErrno } from './atomic.ts'
import type { BlobStore } from './blob-store.ts'
import { readContainerState } from './container-state.ts'
import type { ImageIndex, IndexEntry } from './image-index.ts'
import type { StoreLayout } from './layout.ts'
import { namesIn, readAllPins } from './pins.ts'
import type { Session } from './session.ts'

/** What a sweep took away, as paths in tmp/ that are still to be deleted. */
export interface Swept {
  readonly blobs: number
  readonly layers: number
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
  for (const entry of entries) await addContent(blobs, entry.digest, isIndexMediaType(entry.mediaType), needed, 0)
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
  let blobCount = 0
  for (const algorithm of ['sha256', 'sha512']) {
    const dir = join(layout.oci, 'blobs', algorithm)
    for (const name of await namesIn(dir)) {
      if (needed.has(`${algorithm}:${name}` as Digest)) continue
      await discard(join(dir, name))
      blobCount++
    }
  }
  let layerCount = 0
  for (const name of await namesIn(layout.layers)) {
    const diffId = layerDigest(name)
    if (diffId !== undefined && needed.has(diffId)) continue
    await discard(join(layout.layers, name))
    layerCount++
  }
  return { blobs: blobCount, layers: layerCount, trash }
}

function layerDigest(name: string): Digest | undefined {
  const text = name.includes('-') ? name.replace('-', ':') : `sha256:${name}`
  return isDigest(text) ? text : undefined
}

async function containerContent(layout: StoreLayout): Promise<Digest[]> {
  const found: Digest[] = []
  for (const id of await namesIn(layout.containers)) {
    const state = await readContainerState(join(layout.containers, id, 'state.json'))
    for (const digest of state?.content ?? []) if (isDigest(digest)) found.push(digest)
  }
  return found
}

/** Adds a manifest and everything below it. What cannot be read needs nothing: such an image cannot be used either. */
async function addContent(
  blobs: BlobStore,
  digest: Digest,
  isIndex: boolean,
  needed: Set<Digest>,
  depth: number,
): Promise<void> {
  needed.add(digest)
  if (depth > 4) return
  try {
    const bytes = await blobs.read(digest, kMaxManifestBytes)
    if (isIndex) {
      for (const child of parseIndex(bytes, digest).manifests) {
        await addContent(blobs, child.digest, isIndexMediaType(child.mediaType), needed, depth + 1)
      }
      return
    }
    const manifest = parseManifest(bytes, digest)
    needed.add(manifest.config.digest)
    for (const layer of manifest.layers) needed.add(layer.digest)
    const config = parseImageConfig(await blobs.read(manifest.config.digest, kMaxConfigBytes), manifest.config.digest)
    for (const diffId of config.rootfs.diff_ids) needed.add(diffId)
  } catch {
    // Unreadable: see above.
  }
}
