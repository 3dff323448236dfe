// SPDX-License-Identifier: MIT
import type { Cgroup } from './cgroup.ts'
import { fileNames } from './cgroup-fs.ts'
import type { CgroupHierarchy } from './detect.ts'
import type { CgroupDriver } from './driver.ts'
import {
  checkName,
  type DriverSettings,
  existingDirs,
  makeAll,
  namesIn,
  noCgroup,
  removeEmpty,
  withParents,
} from './driver-common.ts'
import type { LimitHost } from './limits.ts'
import { findBaseV2, type ParentV2, prepareParentV2 } from './parents.ts'
import { CgroupV2 } from './v2.ts'

/** cgroups on the unified hierarchy. */
export class CgroupDriverV2 implements CgroupDriver {
  readonly version = 'v2'
  readonly #hierarchy: CgroupHierarchy
  readonly #settings: DriverSettings
  #base: Promise<string | undefined> | undefined
  #prepared: Promise<ParentV2> | undefined

  constructor(hierarchy: CgroupHierarchy, settings: DriverSettings) {
    this.#hierarchy = hierarchy
    this.#settings = settings
  }

  async limitHost(): Promise<LimitHost> {
    const parent = await this.#parentDir()
    if (parent === undefined) return { version: 2, files: new Map(), probe: this.#refusal() }
    const { controllers, probe } = await this.#prepare(parent, false)
    const names = await fileNames(parent)
    const files = controllers.map(
      (controller) => [controller, new Set(names.filter((name) => name.startsWith(`${controller}.`)))] as const,
    )
    return { version: 2, files: new Map(files), probe }
  }

  async create(name: string, options: { required?: boolean } = {}): Promise<Cgroup> {
    checkName('name', name)
    const parent = await this.#parentDir()
    if (parent === undefined) return noCgroup(name, options.required ?? this.#settings.required, this.#refusal())
    const dir = `${parent}/${name}`
    await withParents(
      (again) => this.#prepare(parent, again),
      () => makeAll(name, [dir]),
    )
    return new CgroupV2(name, dir)
  }

  async reserve(name: string, options: { again?: boolean } = {}): Promise<Cgroup | undefined> {
    checkName('name', name)
    const parent = await this.#parentDir()
    if (parent === undefined) return undefined
    await this.#prepare(parent, options.again === true)
    return new CgroupV2(name, `${parent}/${name}`)
  }

  async open(name: string): Promise<Cgroup | undefined> {
    checkName('name', name)
    const parent = await this.#parentDir()
    if (parent === undefined) return undefined
    const dirs = await existingDirs([`${parent}/${name}`])
    return dirs.size === 0 ? undefined : new CgroupV2(name, `${parent}/${name}`)
  }

  async list(): Promise<string[]> {
    const parent = await this.#parentDir()
    return parent === undefined ? [] : await namesIn([parent])
  }

  async removeParents(): Promise<void> {
    const parent = await this.#parentDir()
    this.#prepared = undefined
    if (parent !== undefined) await removeEmpty([parent])
  }

  async #parentDir(): Promise<string | undefined> {
    this.#base ??= findBaseV2(this.#hierarchy)
    const base = await this.#base
    return base === undefined ? undefined : `${base}/${this.#settings.parent}`
  }

  async #prepare(parent: string, again: boolean): Promise<ParentV2> {
    if (this.#prepared === undefined || again) {
      const base = parent.slice(0, parent.lastIndexOf('/'))
      const prepared = prepareParentV2(base, parent)
      this.#prepared = prepared
      prepared.catch(() => {
        if (this.#prepared === prepared) this.#prepared = undefined
      })
    }
    return await this.#prepared
  }

  #refusal(): string {
    const { mountPoint, ownDir } = this.#hierarchy
    return `neither ${mountPoint} nor a directory above our own cgroup (${ownDir ?? 'not visible'}) is writable`
  }
}
