// SPDX-License-Identifier: MIT
import { type Engine, engineOf } from './engine.ts'
import { ConflictError, InvalidOptionError, NotFoundError } from './errors.ts'
import { checkBoolean, checkObject, checkString } from './options/checks.ts'
import { checkVolumeName } from './options/mount-options.ts'
import { treeBytes } from './store/tree-size.ts'
import { checkVolumeFilters, type VolumeFilters } from './volumes/volume-filters.ts'
import { type VolumeRecord, VolumeStore } from './volumes/volume-store.ts'

/** Options of {@link Volume.create}. */
export interface VolumeCreateOptions {
  /** Free-form metadata, to find it by. @default {} */
  labels?: Readonly<Record<string, string>> | undefined
  /** @default Engine.default() */
  engine?: Engine | undefined
}

/** Options of {@link Volume.list}. */
export interface VolumeListOptions {
  filters?: VolumeFilters | undefined
  /** @default Engine.default() */
  engine?: Engine | undefined
}

/** Options of {@link Volume.remove}. */
export interface VolumeRemoveOptions {
  /** One that is gone already is no error. @default false */
  force?: boolean | undefined
}

/** Options of {@link Volume.prune}. */
export interface VolumePruneOptions {
  /** Also volumes with a name of their own. @default false: anonymous ones only */
  all?: boolean | undefined
  filters?: Pick<VolumeFilters, 'label' | 'name'> | undefined
  /** @default Engine.default() */
  engine?: Engine | undefined
}

/** What {@link Volume.inspect} and {@link Volume.list} tell. */
export interface VolumeInspection {
  readonly name: string
  /** Its files on the host, with the ids that containers see; closed to all but the engine's user. */
  readonly mountpoint: string
  /** ISO 8601. */
  readonly createdAt: string
  readonly labels: Readonly<Record<string, string>>
  /** Whether it was made for one container, without a name. */
  readonly anonymous: boolean
}

/**
 * A directory that the engine keeps beside its containers: what is in it outlives them, and several may share it. Containers get it by
 * `mounts: [{ type: 'volume', source: name, target }]`.
 *
 * @example
 * await Volume.create('database', { labels: { project: 'shop' } })
 */
export class Volume {
  readonly name: string
  readonly #engine: Engine

  private constructor(engine: Engine, name: string) {
    this.#engine = engine
    this.name = name
  }

  /**
   * Makes a volume, whole or not at all. One that is there is returned as it is.
   *
   * @param name - two or more letters, digits, `_`, `.`, `-`. @default 64 hexadecimal digits
   * @throws {ConflictError} when one of this name has other labels. @throws {InvalidOptionError}
   */
  static async create(name?: string, options: VolumeCreateOptions = {}): Promise<Volume> {
    checkObject('', options, ['labels', 'engine'])
    const checked = name === undefined ? VolumeStore.newName() : checkVolumeName('name', name)
    const labels = checkLabels(options.labels)
    const engine = await engineOf(options)
    const record = await storeOf(engine).ensure(checked, { labels, anonymous: name === undefined })
    if (options.labels !== undefined && !areEqual(record.labels, labels)) {
      throw new ConflictError(`There is a volume ${checked} with other labels.`, 'remove it, or choose another name')
    }
    return new Volume(engine, checked)
  }

  /** Finds a volume by its name. @throws {NotFoundError} */
  static async get(name: string, options: { engine?: Engine | undefined } = {}): Promise<Volume> {
    checkObject('', options, ['engine'])
    const checked = checkVolumeName('name', name)
    const engine = await engineOf(options)
    await storeOf(engine).read(checked)
    return new Volume(engine, checked)
  }

  /** All volumes that fit, by name. @throws {InvalidOptionError} */
  static async list(options: VolumeListOptions = {}): Promise<VolumeInspection[]> {
    checkObject('', options, ['filters', 'engine'])
    const fits = checkVolumeFilters(options.filters, ['name', 'label', 'dangling'])
    const engine = await engineOf(options)
    const used = options.filters?.dangling === undefined ? new Set<string>() : await engine.containers.usedVolumes()
    const all = await storeOf(engine).list()
    return all.filter((each) => fits(each, used.has(each.name))).map((each) => inspectionOf(engine, each))
  }

  /**
   * Removes the anonymous volumes that no container has, and with `all` those with names too. Their bytes are counted as they go.
   *
   * @returns the names of those that are gone.
   */
  static async prune(options: VolumePruneOptions = {}): Promise<{ removed: string[]; reclaimedBytes: number }> {
    checkObject('', options, ['all', 'filters', 'engine'])
    const all = checkBoolean('all', options.all, false)
    const fits = checkVolumeFilters(options.filters, ['name', 'label'])
    const engine = await engineOf(options)
    const used = await engine.containers.usedVolumes()
    const removed: string[] = []
    let reclaimedBytes = 0
    for (const each of await storeOf(engine).list()) {
      if (used.has(each.name) || !(all || each.anonymous) || !fits(each, false)) continue
      const bytes = await treeBytes(storeOf(engine).dataPath(each.name))
      try {
        await removeVolume(engine, each.name)
        removed.push(each.name)
        reclaimedBytes += bytes
      } catch (error) {
        // Somebody has begun to use it, or has removed it.
        if (!(error instanceof ConflictError || error instanceof NotFoundError)) throw error
      }
    }
    return { removed, reclaimedBytes }
  }

  /** What it is. @throws {NotFoundError} when it has been removed. */
  async inspect(): Promise<VolumeInspection> {
    return inspectionOf(this.#engine, await storeOf(this.#engine).read(this.name))
  }

  /**
   * Removes it with all that is in it.
   *
   * @throws {ConflictError} while a container has it, running or not. @throws {NotFoundError} when it is gone, unless `force`.
   */
  async remove(options: VolumeRemoveOptions = {}): Promise<void> {
    checkObject('', options, ['force'])
    const force = checkBoolean('force', options.force, false)
    try {
      await removeVolume(this.#engine, this.name)
    } catch (error) {
      if (!force || !(error instanceof NotFoundError)) throw error
    }
  }
}

function storeOf(engine: Engine): VolumeStore {
  engine.assertOpen()
  return engine.containers.volumes
}

function removeVolume(engine: Engine, name: string): Promise<void> {
  return storeOf(engine).remove(name, () => engine.containers.usersOf(name))
}

function inspectionOf(engine: Engine, { name, createdAt, labels, anonymous }: VolumeRecord): VolumeInspection {
  return { name, mountpoint: storeOf(engine).dataPath(name), createdAt, labels, anonymous }
}

function checkLabels(value: unknown): Record<string, string> {
  if (value === undefined) return {}
  const pairs = Object.entries(checkObject('labels', value))
  if (pairs.some(([key]) => key === '')) throw new InvalidOptionError('labels', 'names that are not empty', '')
  return Object.fromEntries(pairs.map(([key, text]) => [key, checkString(`labels.${key}`, text)]))
}

function areEqual(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(one)
  return keys.length === Object.keys(other).length && keys.every((key) => one[key] === other[key])
}
