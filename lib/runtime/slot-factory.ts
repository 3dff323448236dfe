// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { OneATurn } from '../async/one-a-turn.ts'
import type { Cgroup } from '../cgroup/driver.ts'
import { SyscallError } from '../errors.ts'
import type { Launcher } from '../launcher/launcher.ts'
import type { LauncherChild } from '../launcher/launcher-child.ts'
import type { Native } from '../launcher/native.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import type { NetworkMode } from '../options/network-options.ts'
import { overlayLayers } from '../plan/overlay-layers.ts'
import {
  buildPreparePlan,
  type ExtraOverlay,
  type PrepareInput,
  type RootInput,
  type SharedPrepareSteps,
  sharedPrepareSteps,
} from '../plan/prepare-plan.ts'
import { kSlot } from '../plan/slots.ts'
import { etcFiles } from '../rootfs/etc-files.ts'
import type { UserFiles } from '../rootfs/users.ts'
import type { Session } from '../store/session.ts'
import { PlanDescriptors } from './descriptors.ts'
import type { HostContext } from './host-context.ts'
import { hostRoots, readHostTree } from './host-roots.ts'
import type { IdMappedMounts } from './id-mapped-mounts.ts'
import { Limiter } from './limiter.ts'
import type { NetworkJoin } from './network-join.ts'
import type { ContainerPlace, Slot } from './slot.ts'
import { whenThereIsRoom } from './when-there-is-room.ts'

/** Where a container's files come from. Layers are oldest first. */
export type Rootfs =
  | { readonly kind: 'layers'; readonly layers: readonly { readonly dir: string }[] }
  | { readonly kind: 'host'; readonly hide: readonly string[] }

/** What decides whether one prepared child can stand in for another. Plain data: its JSON is the key of the pool. */
export interface SlotProfile {
  /** The parts of the configuration that the first plan reads; without `hostname` when it follows from the id. */
  spec: RuntimeSpec
  rootfs: Rootfs
  hasUserNamespace: boolean
  privileged: boolean
  network: NetworkMode
  dns: readonly string[]
  extraHosts: readonly { host: string; address: string }[]
  /** Whether a missing cgroup is an error. */
  needsCgroup: boolean
}

/** What slots are made from. */
export interface SlotFactoryParts {
  native: Native
  launcher: Launcher
  session: Session
  host: HostContext
  root: string
  mounts: IdMappedMounts
  readUsers: (rootfs: Rootfs) => Promise<UserFiles>
  turns: OneATurn
}

/** What a slot is made of, besides its profile. */
interface SlotParts {
  hostname: string
  cgroup: Cgroup
  scratch: Slot['scratch']
  /** The writable layer is thrown away in the end, and need not be whole on the disk. */
  volatile: boolean
  join: NetworkJoin | undefined
}

const kMaxAtOnce = 12
const kParentRetries = 10

/**
 * Whether an error may come from parents of cgroups that another engine has removed, or is just making: a cpuset that was made
 * too early has no CPUs, and joining it says ENOSPC.
 */
function isParentGone(error: unknown): boolean {
  return error instanceof SyscallError && ['mkdir', 'cgroup_join', 'open'].includes(error.step ?? '')
}

/** Makes slots, and unmakes them. */
export class SlotFactory {
  readonly #parts: SlotFactoryParts
  /** The launcher's socket holds some requests only, and two CPUs do not make many at once faster. */
  readonly #limiter = new Limiter(kMaxAtOnce)
  readonly #shared = new WeakMap<SlotProfile, SharedPrepareSteps>()
  #nextCgroup = 0

  constructor(parts: SlotFactoryParts) {
    this.#parts = parts
  }

  /**
   * Starts a child with the first plan, and waits until it is prepared. On failure nothing is left.
   *
   * @param place - of a container that has one; its writable layer stays.
   * @param join - the container whose network it shares.
   */
  make(profile: SlotProfile, place?: ContainerPlace, join?: NetworkJoin): Promise<Slot> {
    return this.#limiter.run(() => this.#make(profile, place, join, 0))
  }

  async #make(
    profile: SlotProfile,
    place: ContainerPlace | undefined,
    join: NetworkJoin | undefined,
    retries: number,
  ): Promise<Slot> {
    const { host, session, readUsers } = this.#parts
    const id = place?.id ?? randomBytes(32).toString('hex')
    const hostname = profile.spec.hostname ?? id.slice(0, 12)
    const scratch = place?.scratch ?? session.reserveScratch()
    const keepsScratch = place !== undefined
    const name = place?.id ?? `${session.id}-${this.#nextCgroup++}`
    const [reserved, userFiles] = await Promise.all([
      host.driver.reserve(name, { again: retries > 0 }),
      readUsers(profile.rootfs),
    ])
    const cgroup = reserved ?? (await host.driver.create(name, { required: profile.needsCgroup }))
    let child: LauncherChild | undefined
    try {
      await this.#parts.turns.next()
      child = await this.#clone(profile, { hostname, cgroup, scratch, volatile: !keepsScratch, join })
      await child.prepared
      return { id, hostname, child, scratch, keepsScratch, cgroup, userFiles }
    } catch (error) {
      if (child !== undefined && child.pid !== 0) await child.exited
      this.#remove({ cgroup, scratch, keepsScratch })
      if (reserved === undefined || retries >= kParentRetries || !isParentGone(error)) throw error
      return await this.#make(profile, place, join, retries + 1)
    }
  }

  /** Ends what a slot consists of; a child that still waits is let go. Removal goes on in the background. */
  async unmake(slot: Slot): Promise<void> {
    slot.child.release()
    await slot.child.exited
    this.#remove(slot)
  }

  #remove({ cgroup, scratch, keepsScratch }: Pick<Slot, 'cgroup' | 'scratch' | 'keepsScratch'>): void {
    const cgroups = cgroup.dirs.map((dir) => `c${dir}`)
    this.#parts.launcher.remove(keepsScratch ? cgroups : [`d${scratch.dir}`, ...cgroups])
  }

  async #clone(profile: SlotProfile, { hostname, cgroup, scratch, volatile, join }: SlotParts): Promise<LauncherChild> {
    const { host, launcher, mounts, native } = this.#parts
    const idMapped = profile.hasUserNamespace && !host.idMapping.single
    const descriptors = new PlanDescriptors(native, 0)
    try {
      const privileged = host.facts.rootful
      // An ordinary user's process may mount nothing; the child may, in its own namespaces.
      if (privileged) descriptors.own(mounts.clone(this.#parts.root, { idMapped }))
      const { directories, ...root } = await this.#root(profile, scratch, { idMapped, volatile }, descriptors)
      const input: PrepareInput = {
        spec: { ...profile.spec, hostname },
        stageDir: host.stageDir,
        statePath: privileged ? null : this.#parts.root,
        mapMode: host.facts.rootful ? '' : host.idMapping.mode,
        cgroupTasks: cgroup.selfAttachPaths,
        directories: [
          [scratch.dir, 0o700],
          [scratch.upper, 0o755],
          [scratch.work, 0o700],
          ...[...directories, ...cgroup.dirs].map((path) => [path, 0o755] as const),
        ],
        unifiedCgroup: cgroup.unifiedDir ?? null,
        cgroupViews: host.cgroupViews,
        etcFiles: this.#etcFiles(profile, hostname, join),
        networkSlot: join === undefined ? null : descriptors.own(await join.open()),
        root,
        bindsAhead: !privileged,
      }
      const steps = buildPreparePlan(input, this.#sharedSteps(profile))
      return await whenThereIsRoom(() => launcher.clone(steps, descriptors.fds))
    } finally {
      descriptors.close()
    }
  }

  #sharedSteps(profile: SlotProfile): SharedPrepareSteps {
    const known = this.#shared.get(profile)
    if (known !== undefined) return known
    const { spec } = profile
    const shared = sharedPrepareSteps({ spec, cgroupViews: this.#parts.host.cgroupViews })
    this.#shared.set(profile, shared)
    return shared
  }

  async #root(
    { rootfs, privileged }: SlotProfile,
    scratch: Slot['scratch'],
    { idMapped, volatile }: { idMapped: boolean; volatile: boolean },
    descriptors: PlanDescriptors,
  ): Promise<RootInput & { directories: string[] }> {
    const { root, mounts } = this.#parts
    const below = (path: string): string => path.slice(root.length + 1)
    const noDevices = !privileged
    const base = { upper: below(scratch.upper), work: below(scratch.work), userXattr: true, volatile, noDevices }
    if (rootfs.kind === 'layers') {
      const lowers = overlayLayers(rootfs.layers.map(({ dir }) => `${kSlot.state}/${below(dir)}`))
      return { ...base, lowers, overlays: [], detached: [], host: null, hide: [], directories: [] }
    }
    const hide = [root, ...rootfs.hide]
    if (!this.#parts.host.facts.rootful) {
      const { overlaid, ...host } = await readHostTree()
      return {
        ...base,
        ...this.#overlays(overlaid, scratch, (path) => `${kSlot.hostRoot}${path}`),
        lowers: [],
        detached: [],
        host,
        hide,
      }
    }
    const detached: number[] = []
    const lower = (path: string): string => {
      detached.push(descriptors.own(mounts.clone(path, { idMapped })))
      return `${detached.at(-1)}/`
    }
    const lowers = [lower('/')]
    const [, ...others] = await hostRoots()
    return { ...base, ...this.#overlays(others, scratch, lower), lowers, detached, host: null, hide }
  }

  /** One overlay for each of some directories of the host, each with a writable directory of its own. */
  #overlays(
    targets: readonly string[],
    scratch: Slot['scratch'],
    lower: (path: string) => string,
  ): { overlays: ExtraOverlay[]; directories: string[] } {
    const directories: string[] = []
    const overlays = targets.map((target, i) => {
      const [upper, work] = [join(scratch.dir, `upper-${i}`), join(scratch.dir, `work-${i}`)]
      directories.push(upper, work)
      const below = (path: string): string => path.slice(this.#parts.root.length + 1)
      return { target, lower: lower(target), upper: below(upper), work: below(work) }
    })
    return { overlays, directories }
  }

  #etcFiles(
    { network, dns, extraHosts }: SlotProfile,
    hostname: string,
    join: NetworkJoin | undefined,
  ): Readonly<Record<string, string>> {
    const { hosts, resolvConf } = this.#parts.host
    const host = { address: null, hostHosts: hosts, hostResolvConf: resolvConf }
    const own = etcFiles({ hostname, network, dns, extraHosts, ...host })
    return join === undefined
      ? { ...own }
      : { ...etcFiles({ ...join.names, ...host }), '/etc/hostname': own['/etc/hostname'] }
  }
}
