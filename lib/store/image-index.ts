import { readFile, stat } from 'node:fs/promises'
import { ConflictError } from '../errors.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { type Descriptor, kMaxListBytes, kMaxListed, kMediaType, parseImageList } from '../oci/image-config.ts'
import { Reference } from '../oci/reference.ts'
import { isErrno, writeFileAtomic } from './atomic.ts'
import { unlinkIfThere } from './files.ts'
import { hostError } from './host-error.ts'
import type { StoreLayout } from './layout.ts'
import { acquireLock } from './lock.ts'
import type { StoreNative } from './native.ts'
import type { Session } from './session.ts'

/** Annotations of descriptors in index.json. */
export const kAnnotation = {
  refName: 'org.opencontainers.image.ref.name',
  imageName: 'io.containerd.image.name',
  imageId: 'io.wherry.image.id',
  unpackedBytes: 'io.wherry.image.unpacked-bytes',
  index: 'io.wherry.image.index',
} as const

/** One image of the layout: a manifest, under any number of names. */
export interface IndexEntry {
  readonly digest: Digest
  readonly mediaType: string
  readonly size: number
  /** Digest of the configuration; absent where another program wrote the entry. */
  readonly id: Digest | undefined
  readonly unpackedBytes: number | undefined
  /** Digest of the index (manifest list) that the image was chosen from, whose blob is kept. */
  readonly index: Digest | undefined
  /** Canonical references, in the order in which they were given. */
  readonly references: readonly string[]
  readonly platform: Descriptor['platform']
}

/** The list of images, `oci/index.json`, changed under the lock `images`. */
export class ImageIndex {
  readonly #layout: StoreLayout
  readonly #session: Session
  readonly #native: StoreNative
  #cached: { version: string; entries: readonly IndexEntry[] } | undefined

  constructor(layout: StoreLayout, session: Session, native: StoreNative) {
    this.#layout = layout
    this.#session = session
    this.#native = native
  }

  /** Reads the list; when the file has not changed, from memory. */
  async read(): Promise<readonly IndexEntry[]> {
    const version = await fileVersion(this.#layout.index)
    if (version === undefined) return []
    if (this.#cached?.version === version) return this.#cached.entries
    const bytes = await readFile(this.#layout.index)
    const entries = groupDescriptors(parseImageList(bytes, 'index.json').manifests)
    this.#cached = { version, entries }
    return entries
  }

  /** Runs `work` while nobody changes the list or sweeps unused content. */
  async shared<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await using _lock = await acquireLock(this.#native, this.#layout.lock('images'), { mode: 'read', signal })
    return await work()
  }

  /** Runs `work` alone; it gets the list, and what it returns (when not `undefined`) is written before the lock ends. */
  async update<T>(
    work: (
      entries: readonly IndexEntry[],
    ) => Promise<{ entries?: readonly IndexEntry[]; result: T; after?: () => Promise<void> }>,
    signal?: AbortSignal,
  ): Promise<T> {
    await using _lock = await acquireLock(this.#native, this.#layout.lock('images'), { signal })
    const { entries, result, after } = await work(await this.read())
    if (entries !== undefined) await this.#write(entries)
    await after?.()
    return result
  }

  async #write(entries: readonly IndexEntry[]): Promise<void> {
    const manifests = entries.flatMap(toDescriptors)
    const text = `${JSON.stringify({ schemaVersion: 2, mediaType: kMediaType.index, manifests }, undefined, 2)}\n`
    // One that could not be read again would take all images away.
    if (manifests.length > kMaxListed || Buffer.byteLength(text) > kMaxListBytes) {
      const room = `${kMaxListed} names, or ${kMaxListBytes} bytes`
      throw new ConflictError(`The list of images is full: it has room for ${room}.`, 'remove images or tags')
    }
    const scratch = this.#session.tmpPath('index')
    try {
      await writeFileAtomic(scratch, this.#layout.index, text, 0o644)
    } catch (error) {
      await unlinkIfThere(scratch)
      throw hostError('Changing the list of images', error)
    }
    this.#cached = undefined
  }
}

/** Gives `references` to the image with this digest, and takes them from every other. */
export function withReferences(
  entries: readonly IndexEntry[],
  digest: Digest,
  references: readonly string[],
): readonly IndexEntry[] {
  return entries.map((entry) => {
    const others = entry.references.filter((reference) => !references.includes(reference))
    return { ...entry, references: entry.digest === digest ? [...others, ...references] : others }
  })
}

async function fileVersion(path: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return `${ino}.${size}.${mtimeNs}.${ctimeNs}`
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw error
  }
}

function groupDescriptors(descriptors: readonly Descriptor[]): readonly IndexEntry[] {
  const byDigest = new Map<Digest, IndexEntry & { references: string[] }>()
  for (const descriptor of descriptors) {
    const annotations = descriptor.annotations ?? {}
    let entry = byDigest.get(descriptor.digest)
    if (entry === undefined) {
      const id = annotations[kAnnotation.imageId]
      const index = annotations[kAnnotation.index]
      const unpacked = Number(annotations[kAnnotation.unpackedBytes])
      entry = {
        digest: descriptor.digest,
        mediaType: descriptor.mediaType,
        size: descriptor.size,
        id: id !== undefined && isDigest(id) ? id : undefined,
        unpackedBytes: Number.isSafeInteger(unpacked) ? unpacked : undefined,
        index: index !== undefined && isDigest(index) ? index : undefined,
        references: [],
        platform: descriptor.platform,
      }
      byDigest.set(descriptor.digest, entry)
    }
    const name = annotations[kAnnotation.imageName] ?? annotations[kAnnotation.refName]
    const reference = name === undefined ? undefined : tryParse(name)
    if (reference !== undefined && !entry.references.includes(reference)) entry.references.push(reference)
  }
  return [...byDigest.values()]
}

// Another program may have written names that are no references; the image is then reachable by digest only.
function tryParse(name: string): string | undefined {
  try {
    return Reference.parse(name).toString()
  } catch {
    return undefined
  }
}

function toDescriptors(entry: IndexEntry): Descriptor[] {
  const { mediaType, digest, size, platform } = entry
  const common: Record<string, string> = {}
  if (entry.id !== undefined) common[kAnnotation.imageId] = entry.id
  if (entry.index !== undefined) common[kAnnotation.index] = entry.index
  if (entry.unpackedBytes !== undefined) common[kAnnotation.unpackedBytes] = String(entry.unpackedBytes)
  const base = { mediaType, digest, size, ...(platform === undefined ? {} : { platform }) }
  if (entry.references.length === 0) return [{ ...base, annotations: common }]
  return entry.references.map((reference) => ({
    ...base,
    annotations: { ...common, [kAnnotation.refName]: reference, [kAnnotation.imageName]: reference },
  }))
}
