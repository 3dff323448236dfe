// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import type { FsNative } from '../launcher/fs-native.ts'
import type { ByteString } from './byte-string.ts'
import { isDifferent } from './changes-compare.ts'
import { LowerLayers, type LowerView } from './changes-lowers.ts'
import type { LayerLimits } from './limits.ts'
import { EntryReader, type FoundEntry, isOpaque, isWhiteout } from './pack-entry.ts'
import { openDirectory } from './pack-open.ts'
import { TreeWalk } from './pack-walk.ts'

/** One difference between a container's files and its image's, as `docker diff` has them. */
export interface LayerChange {
  /** Absolute, inside the container. */
  path: string
  kind: 'added' | 'modified' | 'deleted'
}

/** One comparison, to a thread. */
export interface ChangesJob {
  kind: 'changes'
  /** Names the upper directory in errors. */
  layer: string
  upper: string | number
  /** From the topmost down. */
  lowers: readonly (string | number)[]
  limits: LayerLimits
  /** Socket of a process that reads the trees in our place. */
  server: number | undefined
}

/** A directory that the walk is in. */
interface Place {
  /** What lower layers have there; `undefined` beneath what was added. */
  lower: LowerView | undefined
  path: ByteString
  /** Whether the directory itself is in the list. */
  isListed: boolean
  /** Names seen in the upper directory, where lower ones that are absent count as deleted: an opaque one. */
  seen: Set<ByteString> | undefined
}

/**
 * Compares an overlay's upper directory with the layers below it. Blocks the thread.
 *
 * @throws {LayerError} when there are more changes than `limits.maxEntries`.
 */
export function findChanges(native: FsNative, job: ChangesJob): LayerChange[] {
  const lowers = new LowerLayers(native, job.lowers)
  const upperFd = openDirectory(native, job.upper)
  const comparison = new Comparison(native, job, lowers)
  try {
    return comparison.run(upperFd)
  } finally {
    comparison.close()
    lowers.close()
    native.close(upperFd)
  }
}

class Comparison {
  readonly #native: FsNative
  readonly #job: ChangesJob
  readonly #lowers: LowerLayers
  readonly #entries: EntryReader
  readonly #walk: TreeWalk
  readonly #places: Place[] = []
  readonly #changes: { path: ByteString; kind: LayerChange['kind'] }[] = []

  constructor(native: FsNative, job: ChangesJob, lowers: LowerLayers) {
    this.#native = native
    this.#job = job
    this.#lowers = lowers
    this.#entries = new EntryReader(native)
    this.#walk = new TreeWalk(native, job.layer, job.limits.maxPathDepth)
  }

  close(): void {
    this.#walk.close()
  }

  run(upperFd: number): LayerChange[] {
    const root = this.#entries.look(upperFd, '.')
    // The root itself is never listed.
    if (root?.kind === 'directory') this.#enter(root, Buffer.from('.'), '', this.#lowers.root(), true)
    while (!this.#walk.isDone) {
      const step = this.#walk.next()
      if (step === undefined) {
        this.#leave()
        continue
      }
      const entry = this.#entries.look(step.dirFd, step.name)
      if (entry !== undefined) this.#compare(entry, step.name, step.path)
    }
    return this.#changes.map(({ path, kind }) => ({ path: `/${Buffer.from(path, 'latin1').toString('utf8')}`, kind }))
  }

  #compare(entry: FoundEntry, name: Buffer, path: ByteString): void {
    const place = this.#places[this.#places.length - 1] as Place
    const text = name.toString('latin1')
    place.seen?.add(text)
    const lower = place.lower === undefined ? undefined : this.#lowers.child(place.lower, text)
    const kind = isWhiteout(entry) ? 'whiteout' : entry.kind
    if (kind !== 'directory' && entry.fd >= 0) this.#native.close(entry.fd)
    if (kind === 'whiteout') {
      if (lower !== undefined) this.#add(path, 'deleted')
      return
    }
    if (lower === undefined) this.#add(path, 'added')
    else if (isDifferent(lower.entry, entry)) this.#add(path, 'modified')
    if (kind !== 'directory') return
    const isListed = this.#changes[this.#changes.length - 1]?.path === path
    this.#enter(entry, name, path, lower?.entry.kind === 'directory' ? lower : undefined, isListed)
  }

  #enter(entry: FoundEntry, name: Buffer, path: ByteString, lower: LowerView | undefined, isListed: boolean): void {
    const seen = lower !== undefined && isOpaque(entry) ? new Set<ByteString>() : undefined
    this.#places.push({ lower, path, isListed, seen })
    this.#walk.enter(entry, name, path === '' ? '' : `${path}/`)
  }

  #leave(): void {
    const { seen, lower, path } = this.#places[this.#places.length - 1] as Place
    const names = seen === undefined || lower === undefined ? [] : this.#lowers.names(lower)
    for (const name of names) {
      if (seen?.has(name) === false) this.#add(path === '' ? name : `${path}/${name}`, 'deleted')
    }
    this.#places.pop()
  }

  /** Lists a change, and before it those directories around it that are not listed yet. */
  #add(path: ByteString, kind: LayerChange['kind']): void {
    for (const place of this.#places) {
      if (place.isListed) continue
      place.isListed = true
      this.#changes.push({ path: place.path, kind: 'modified' })
    }
    this.#changes.push({ path, kind })
    if (this.#changes.length <= this.#job.limits.maxEntries) return
    throw new LayerError(this.#job.layer, undefined, `it has more than ${this.#job.limits.maxEntries} changes`)
  }
}
