// SPDX-License-Identifier: MIT
import { lstat, readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { geteuid } from 'node:process'
import { type Digest, isDigest } from '../oci/digest.ts'
import { kMaxListBytes, parseImageList } from '../oci/image-config.ts'
import { isErrno } from './atomic.ts'
import { type BlobStore, readBounded } from './blob-store.ts'
import { readContainerState } from './container-state.ts'
import { namesIn } from './files.ts'
import { type ImageIndex, kAnnotation } from './image-index.ts'
import { kDirectories, layerName, type StoreLayout } from './layout.ts'
import type { StoreNative } from './native.ts'
import { readAllPins } from './pins.ts'
import { isSessionAlive, type Session } from './session.ts'
import { containerContent, listContent } from './sweep.ts'
import { ContentVerifier } from './verify-content.ts'

/** Something in a state directory that is not as it must be. */
export interface StoreFault {
  /** Below the root. */
  readonly path: string
  /** What is wrong, as the rest of a sentence that starts with the path. */
  readonly reason: string
}

export interface VerifyOptions {
  /** Whether layers' blobs are hashed, which reads all of them; manifests and configurations always are. @default true */
  readonly content?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

interface Parts {
  readonly layout: StoreLayout
  readonly native: StoreNative
  readonly session: Session
  readonly blobs: BlobStore
  readonly index: ImageIndex
}

const kRootNames = new Set([
  ...kDirectories.map(([name]) => name),
  'partial',
  'unsynced',
  'events',
  'templates',
  'store.json',
])
/** `filling` is there while it is filled, or after somebody was killed over it. */
const kVolumeNames = new Set(['_data', 'volume.json', 'users', 'filler', 'filling'])
const kLockNames = /^(?:images|containers|unsynced|attendant|blob-(?:[0-9a-f]{64}|[0-9a-f]{128}))\.lock$/

/**
 * Walks everything in a root and compares it with what the store promises. Nothing is changed. Nobody adds or removes images
 * meanwhile; other engines may load, run and download.
 */
export function verifyStore(parts: Parts, options: VerifyOptions = {}): Promise<StoreFault[]> {
  return parts.index.shared(() => new StoreVerifier(parts, options).all(), options.signal)
}

class StoreVerifier {
  readonly #parts: Parts
  readonly #options: VerifyOptions
  readonly #faults: StoreFault[] = []

  constructor(parts: Parts, options: VerifyOptions) {
    this.#parts = parts
    this.#options = options
  }

  async all(): Promise<StoreFault[]> {
    await this.#directories()
    await this.#layoutFiles()
    await this.#images()
    await this.#sessions()
    await this.#containers()
    await this.#volumes()
    await this.#names('locks', (name) => kLockNames.test(name))
    await this.#names('unsynced', (name) => isDigest(name.includes('-') ? name.replace('-', ':') : `sha256:${name}`))
    await this.#names('events', (name) => /^[1-9]\d*$/.test(name))
    await this.#names('partial', (name) => isDigest(name.replace(/\.whole$/, '').replace('-', ':')))
    return this.#faults
  }

  #fault(path: string, reason: string): void {
    const { root } = this.#parts.layout
    this.#faults.push({ path: path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path, reason })
  }

  async #directories(): Promise<void> {
    const { root } = this.#parts.layout
    for (const [name, mode] of [['.', 0o711] as const, ...kDirectories]) await this.#directory(name, mode)
    for (const name of ['partial', 'unsynced', 'events', 'templates']) {
      if ((await namesIn(root)).includes(name)) await this.#directory(name, 0o700)
    }
    await this.#names('.', (name) => kRootNames.has(name))
    await this.#names('oci', (name) => ['oci-layout', 'index.json', 'blobs'].includes(name))
    await this.#names('oci/blobs', (name) => name === 'sha256' || name === 'sha512')
  }

  async #directory(name: string, mode: number): Promise<void> {
    const path = join(this.#parts.layout.root, name)
    try {
      const stats = await lstat(path)
      const bits = (stats.mode & 0o7777).toString(8)
      if (!stats.isDirectory()) this.#fault(path, 'is not a directory')
      // The root may have been made by somebody else, as long as it is closed enough.
      else if (name === '.' ? (stats.mode & 0o022) !== 0 : bits !== mode.toString(8)) {
        this.#fault(path, `has mode ${bits}, not ${mode.toString(8)}`)
      }
      if (stats.uid !== geteuid?.()) this.#fault(path, `belongs to user ${stats.uid}`)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      this.#fault(path, 'is absent')
    }
  }

  async #names(folder: string, isKnown: (name: string) => boolean): Promise<void> {
    const dir = join(this.#parts.layout.root, folder)
    for (const name of await namesIn(dir)) if (!isKnown(name)) this.#fault(join(dir, name), 'has no place here')
  }

  async #layoutFiles(): Promise<void> {
    const { layout } = this.#parts
    await this.#json(layout.marker, (value) => (value as { formatVersion?: unknown }).formatVersion === 1)
    const isVersion1 = (value: unknown) => (value as { imageLayoutVersion?: unknown }).imageLayoutVersion === '1.0.0'
    await this.#json(join(layout.oci, 'oci-layout'), isVersion1)
  }

  async #json(path: string, isRight: (value: object) => boolean): Promise<void> {
    try {
      const value: unknown = JSON.parse(await readFile(path, 'utf8'))
      if (typeof value !== 'object' || value === null || !isRight(value)) this.#fault(path, 'says something unexpected')
    } catch (error) {
      if (!(error instanceof SyntaxError) && !isErrno(error, 'ENOENT')) throw error
      this.#fault(path, error instanceof SyntaxError ? 'is not JSON' : 'is absent')
    }
  }

  async #images(): Promise<void> {
    const { layout, blobs, index } = this.#parts
    if (!(await this.#list())) return
    const content = await listContent(layout)
    const report = (path: string, reason: string): void => this.#fault(path, reason)
    const verifier = new ContentVerifier({ layout, blobs, report, options: this.#options })
    for (const entry of await index.read()) await verifier.image(entry)
    const pinned = await readAllPins(layout)
    for (const digest of await containerContent(layout)) pinned.add(digest)
    for (const { kind, path, digest } of content) {
      this.#options.signal?.throwIfAborted()
      if (digest === undefined) this.#fault(path, 'has a name that is no digest')
      else if (!verifier.needed.has(digest) && !pinned.has(digest)) this.#fault(path, 'is needed by nothing')
      else if (kind === 'blob') await verifier.blobFile(path)
      else await verifier.layer(digest, false)
    }
  }

  /** Checks index.json by itself. @returns whether it can be read. */
  async #list(): Promise<boolean> {
    const path = this.#parts.layout.index
    try {
      const seen = new Set<string>()
      for (const { annotations } of parseImageList(await readBounded(path, kMaxListBytes, path), path).manifests) {
        const name = annotations?.[kAnnotation.refName]
        if (name !== undefined && seen.has(name)) this.#fault(path, `gives the name ${name} to two images`)
        if (name !== undefined) seen.add(name)
      }
      return true
    } catch (error) {
      if (await lstat(path).catch(() => undefined)) this.#fault(path, `cannot be read: ${(error as Error).message}`)
      // It comes with the first image.
      else return true
      return false
    }
  }

  async #sessions(): Promise<void> {
    const { layout, native, session } = this.#parts
    // In this order, as in a repair: a session that starts meanwhile has nothing in the listing of tmp/.
    const tmpNames = await readdir(layout.tmp)
    const names = await readdir(layout.sessions)
    const live = new Set([session.id])
    for (const id of new Set(names.map((name) => name.replace(/\.lock$/, '')))) {
      if (id === session.id || (await isSessionAlive(layout, native, id))) live.add(id)
      // One that was closed between the listing and now is none.
      else if ((await readdir(layout.sessions)).some((name) => name === id || name === `${id}.lock`)) {
        this.#fault(join(layout.sessions, id), 'belongs to a process that is gone')
      }
    }
    for (const name of tmpNames) {
      const path = join(layout.tmp, name)
      if (live.has(name.split('.')[0] ?? '')) continue
      if (await lstat(path).catch(() => undefined)) this.#fault(path, 'belongs to no live engine')
    }
  }

  async #containers(): Promise<void> {
    const { layout, blobs } = this.#parts
    for (const id of await namesIn(layout.containers)) {
      const path = join(layout.containers, id, 'state.json')
      const state = await readContainerState(path)
      if (state === undefined) this.#fault(path, 'is absent or cannot be read')
      for (const digest of state?.content ?? []) {
        if (isDigest(digest) && !(await this.#isThere(blobs, digest)))
          this.#fault(path, `needs ${digest}, which is absent`)
      }
    }
  }

  async #volumes(): Promise<void> {
    const { volumes } = this.#parts.layout
    for (const name of await namesIn(volumes)) {
      const path = join(volumes, name)
      const before = this.#faults.length
      await this.#json(join(path, 'volume.json'), (value) => (value as { name?: unknown }).name === name)
      const data = await lstat(join(path, '_data')).catch(() => undefined)
      if (data?.isDirectory() !== true) this.#fault(join(path, '_data'), 'is not a directory')
      await this.#names(join('volumes', name), (each) => kVolumeNames.has(each))
      // It may be removed meanwhile, which is done at one stroke.
      if ((await lstat(path).catch(() => undefined)) === undefined) this.#faults.length = before
    }
  }

  async #isThere(blobs: BlobStore, digest: Digest): Promise<boolean> {
    if ((await blobs.size(digest)) !== undefined) return true
    return (await namesIn(this.#parts.layout.layers)).includes(basename(layerName(digest)))
  }
}
