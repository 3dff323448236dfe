// SPDX-License-Identifier: MIT
import { SyscallError } from '../errors.ts'
import type { Cgroup } from './cgroup.ts'
import { fileNames } from './cgroup-fs.ts'
import type { CgroupHierarchy, CgroupWorld } from './detect.ts'
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
import { fillCpuset, prepareParentV1 } from './parents.ts'
import { CgroupV1 } from './v1.ts'

const kDefaultControllers: readonly string[] = [
  'cpu',
  'cpuacct',
  'cpuset',
  'memory',
  'devices',
  'freezer',
  'blkio',
  'pids',
  'hugetlb',
]

/** v1 cannot be handed to a user safely, so delegation is no way out. */
const kRootHint = "run as root with the cgroup mounts read-write, or say limits: 'best-effort' to go without."

/** One mounted hierarchy and our directory in it. */
interface Slot {
  hierarchy: CgroupHierarchy
  parentDir: string
}

/** cgroups on v1 hierarchies; on a hybrid host the v2 mount is used too, for killing and freezing. */
export class CgroupDriverV1 implements CgroupDriver {
  readonly version: CgroupWorld['version']
  readonly #settings: DriverSettings
  readonly #slots: readonly Slot[]
  readonly #unified: Slot | undefined
  readonly #unwritable: ReadonlyMap<string, string>
  readonly #probe: string
  /** The names of files never change; parents come and go. */
  #limitHost: LimitHost | undefined
  #prepared: Promise<{ cpusetClones: boolean }> | undefined

  constructor(world: CgroupWorld, settings: DriverSettings) {
    this.version = world.version
    this.#settings = settings
    const wanted = settings.controllers ?? kDefaultControllers
    const slots = world.hierarchies
      .filter(({ writable }) => writable)
      // A hierarchy without controllers (systemd's) tells who belongs to whom: containers' processes are not ours.
      .filter(
        ({ name, controllers }) => name !== undefined || controllers.some((controller) => wanted.includes(controller)),
      )
      .map((hierarchy) => ({ hierarchy, parentDir: `${hierarchy.mountPoint}/${settings.parent}` }))
    const [unified] = world.hierarchies.filter(({ version, writable }) => version === 2 && writable)
    this.#slots = slots.filter(({ hierarchy }) => hierarchy.version === 1)
    this.#unified = unified && { hierarchy: unified, parentDir: `${unified.mountPoint}/${settings.parent}` }
    this.#unwritable = unwritableOf(world)
    this.#probe = probeOf(world)
  }

  async limitHost(): Promise<LimitHost> {
    this.#limitHost ??= await this.#readLimitHost()
    return this.#limitHost
  }

  async #readLimitHost(): Promise<LimitHost> {
    const files = new Map<string, ReadonlySet<string>>()
    for (const { hierarchy, parentDir } of this.#slots) {
      await this.#prepare(false)
      let names = await fileNames(parentDir)
      if (names.length === 0) {
        // Another engine that closed has taken the parents away.
        await this.#prepare(true)
        names = await fileNames(parentDir)
      }
      for (const controller of hierarchy.controllers) files.set(controller, new Set(names))
    }
    return { version: 1, files, unwritable: this.#unwritable, probe: this.#probe }
  }

  async create(name: string, options: { required?: boolean } = {}): Promise<Cgroup> {
    checkName('name', name)
    if (this.#slots.length === 0)
      return noCgroup(name, options.required ?? this.#settings.required, this.#probe, kRootHint)
    return await withParents(
      (again) => this.#prepare(again),
      () => this.#make(name),
    )
  }

  async reserve(name: string, options: { again?: boolean } = {}): Promise<Cgroup | undefined> {
    checkName('name', name)
    if (this.#slots.length === 0) return undefined
    const { cpusetClones } = await this.#prepare(options.again === true)
    const hasCpuset = this.#slots.some(isCpuset)
    return hasCpuset && !cpusetClones ? undefined : this.#cgroup(name, this.#slots, this.#unified !== undefined)
  }

  async #make(name: string): Promise<Cgroup> {
    await makeAll(
      name,
      this.#allSlots().map(({ parentDir }) => `${parentDir}/${name}`),
    )
    const cgroup = this.#cgroup(name, this.#slots, this.#unified !== undefined)
    const { cpusetClones } = await this.#prepare(false)
    const cpuset = this.#slots.find(isCpuset)
    if (cpuset === undefined || cpusetClones) return cgroup
    try {
      await fillCpuset(`${cpuset.parentDir}/${name}`, cpuset.parentDir)
      return cgroup
    } catch (error) {
      await cgroup.remove()
      throw error
    }
  }

  async open(name: string): Promise<Cgroup | undefined> {
    checkName('name', name)
    const dirs = await existingDirs(this.#allSlots().map(({ parentDir }) => `${parentDir}/${name}`))
    if (dirs.size === 0) return undefined
    const exists = ({ parentDir }: Slot) => dirs.has(`${parentDir}/${name}`)
    return this.#cgroup(name, this.#slots.filter(exists), this.#unified !== undefined && exists(this.#unified))
  }

  async list(): Promise<string[]> {
    return await namesIn(this.#allSlots().map(({ parentDir }) => parentDir))
  }

  async removeParents(): Promise<void> {
    this.#prepared = undefined
    await removeEmpty(this.#allSlots().map(({ parentDir }) => parentDir))
  }

  #cgroup(name: string, slots: readonly Slot[], unified: boolean): CgroupV1 {
    const byController = new Map(
      slots.flatMap(({ hierarchy, parentDir }) =>
        hierarchy.controllers.map((controller) => [controller, `${parentDir}/${name}`] as const),
      ),
    )
    const dirs = slots.map(({ parentDir }) => `${parentDir}/${name}`)
    return new CgroupV1(name, dirs, byController, unified ? `${this.#unified?.parentDir}/${name}` : undefined)
  }

  #allSlots(): readonly Slot[] {
    return this.#unified === undefined ? this.#slots : [...this.#slots, this.#unified]
  }

  #prepare(again: boolean): Promise<{ cpusetClones: boolean }> {
    if (this.#prepared === undefined || again) {
      const prepared = untilParentsStay(() => this.#makeParents())
      this.#prepared = prepared
      // A failure is reported to those who wait for it, and tried anew by the next.
      prepared.catch(() => {
        if (this.#prepared === prepared) this.#prepared = undefined
      })
    }
    return this.#prepared
  }

  async #makeParents(): Promise<{ cpusetClones: boolean }> {
    const clones = await Promise.all(
      this.#allSlots().map((slot) => prepareParentV1(slot.hierarchy.mountPoint, slot.parentDir, isCpuset(slot))),
    )
    return { cpusetClones: clones.every(Boolean) }
  }
}

function isCpuset({ hierarchy }: Slot): boolean {
  return hierarchy.version === 1 && hierarchy.controllers.includes('cpuset')
}

function unwritableOf({ hierarchies }: CgroupWorld): Map<string, string> {
  const lost = hierarchies.filter(({ version, writable }) => version === 1 && !writable)
  return new Map(lost.flatMap(({ controllers, mountPoint }) => controllers.map((name) => [name, mountPoint] as const)))
}

function probeOf({ hierarchies }: CgroupWorld): string {
  const writable = hierarchies.filter((hierarchy) => hierarchy.version === 1 && hierarchy.writable)
  if (writable.length === 0) return 'this process may make directories in none of the cgroup v1 mounts'
  const controllers = writable.flatMap((hierarchy) => hierarchy.controllers)
  return `the cgroup v1 mounts in /proc/self/mountinfo have only '${controllers.join(' ')}'`
}

const kParentTries = 20

/**
 * Engines of several processes share the parents, and the last one to close removes them, maybe between two of our calls.
 */
async function untilParentsStay<T>(make: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await make()
    } catch (error) {
      const gone = error instanceof SyscallError && (error.code === 'ENODEV' || error.code === 'ENOENT')
      if (!gone || tries >= kParentTries) throw error
    }
  }
}
