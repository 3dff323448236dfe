// SPDX-License-Identifier: MIT
import type { Cgroup } from './cgroup.ts'
import type { CgroupWorld } from './detect.ts'
import { checkName, noCgroup } from './driver-common.ts'
import { CgroupDriverV1 } from './driver-v1.ts'
import { CgroupDriverV2 } from './driver-v2.ts'
import type { LimitHost } from './limits.ts'

export type { Cgroup, CgroupStats } from './cgroup.ts'

/** Options of {@link createCgroupDriver}. */
export interface CgroupDriverOptions {
  /** Name of the directory that holds all containers' cgroups. @default 'wherry' */
  parent?: string | undefined
  /** What {@link CgroupDriver.create} does where this process may make no cgroup. @default 'strict' */
  limits?: 'strict' | 'best-effort' | undefined
  /** v1 controllers to use; hierarchies with none of them are left alone. @default those of limits, statistics and freezing */
  controllers?: readonly string[] | undefined
}

/** Makes cgroups in one of the three worlds. One per engine; remembers which parents exist. */
export interface CgroupDriver {
  readonly version: CgroupWorld['version']
  /** What a cgroup of this driver can limit, for `planLimits`. Makes the parents when they are not there yet. */
  limitHost(): Promise<LimitHost>
  /**
   * Makes a cgroup with no limits and no processes, in all hierarchies or in none.
   *
   * @param name — letters, digits, `_` and `-`
   * @param options.required — `false`: an empty cgroup instead of an error where none can be made. @default by `limits`
   * @throws {UnsupportedHostError} where this process may make no cgroup
   * @throws {ConflictError} when there is one of that name
   */
  create(name: string, options?: { required?: boolean }): Promise<Cgroup>
  /**
   * Names a cgroup which the caller makes, by making each of `dirs`; the parents are there. For whoever can do so more cheaply
   * than this process. `undefined` where that would not do: use {@link create}.
   *
   * @param options.again — looks after the parents anew: another engine may have removed them. @default false
   */
  reserve(name: string, options?: { again?: boolean }): Promise<Cgroup | undefined>
  /** Finds a cgroup made before, by this or another process; `undefined` when no hierarchy has it. */
  open(name: string): Promise<Cgroup | undefined>
  /** Names of the cgroups that exist, sorted. */
  list(): Promise<string[]>
  /** Removes the parent directories when no cgroup is left in them. Never fails; the next create makes them again. */
  removeParents(): Promise<void>
}

/** Makes the driver for a host's cgroup mounts. Touches nothing yet. */
export function createCgroupDriver(world: CgroupWorld, options: CgroupDriverOptions = {}): CgroupDriver {
  const parent = checkName('parent', options.parent ?? 'wherry')
  const settings = { parent, required: options.limits !== 'best-effort', controllers: options.controllers }
  const [v2] = world.hierarchies.filter(({ version }) => version === 2)
  if (world.version === 'v2' && v2 !== undefined) return new CgroupDriverV2(v2, settings)
  if (world.version !== 'none') return new CgroupDriverV1(world, settings)
  return new NoCgroupDriver(settings.required)
}

const kMountHint = 'mount a cgroup file system: mount -t cgroup2 cgroup2 /sys/fs/cgroup.'

const kNoMount = '/proc/self/mountinfo has no mount of type cgroup or cgroup2'

class NoCgroupDriver implements CgroupDriver {
  readonly version = 'none'
  readonly #required: boolean

  constructor(required: boolean) {
    this.#required = required
  }

  async limitHost(): Promise<LimitHost> {
    return { version: 2, files: new Map(), probe: kNoMount }
  }

  async create(name: string, options: { required?: boolean } = {}): Promise<Cgroup> {
    return noCgroup(checkName('name', name), options.required ?? this.#required, kNoMount, kMountHint)
  }

  async open(): Promise<undefined> {
    return undefined
  }

  async reserve(): Promise<undefined> {
    return undefined
  }

  async list(): Promise<string[]> {
    return []
  }

  async removeParents(): Promise<void> {
    // There are none.
  }
}
