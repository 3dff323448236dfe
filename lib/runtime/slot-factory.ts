// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto'
import type { Cgroup } from '../cgroup/driver.ts'
import type { Launcher } from '../launcher/launcher.ts'
import type { Native } from '../launcher/native.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import { buildPreparePlan } from '../plan/prepare-plan.ts'
import { etcFiles } from '../rootfs/etc-files.ts'
import type { Session } from '../store/session.ts'
import type { HostContext } from './host-context.ts'
import type { IdMappedMounts } from './id-mapped-mounts.ts'
import type { Slot } from './slot.ts'

/** What decides whether one prepared child can stand in for another. Plain data: its JSON is the key of the pool. */
export interface SlotProfile {
  /** The parts of the configuration that the first plan reads; without `hostname` when it follows from the id. */
  spec: RuntimeSpec
  hasUserNamespace: boolean
  network: 'none' | 'host'
  dns: readonly string[]
  extraHosts: readonly { host: string; address: string }[]
  /** Whether a missing cgroup is an error. */
  needsCgroup: boolean
}

/** Makes slots, and unmakes them. */
export class SlotFactory {
  readonly #native: Native
  readonly #launcher: Launcher
  readonly #session: Session
  readonly #host: HostContext
  readonly #root: string
  readonly #mounts: IdMappedMounts
  #nextCgroup = 0

  constructor(parts: {
    native: Native
    launcher: Launcher
    session: Session
    host: HostContext
    root: string
    mounts: IdMappedMounts
  }) {
    this.#native = parts.native
    this.#launcher = parts.launcher
    this.#session = parts.session
    this.#host = parts.host
    this.#root = parts.root
    this.#mounts = parts.mounts
  }

  /** Starts a child with the first plan, and waits until it is prepared. On failure nothing is left. */
  async make(profile: SlotProfile): Promise<Slot> {
    const id = randomBytes(32).toString('hex')
    const hostname = profile.spec.hostname ?? id.slice(0, 12)
    const [cgroup, scratch] = await Promise.all([this.#host.driver.create(`${this.#session.id}-${this.#nextCgroup++}`, { required: profile.needsCgroup }), this.#session.createScratch()])
    try {
      const child = this.#clone(profile, hostname, cgroup)
      await child.prepared
      return { id, hostname, child, scratch, cgroup }
    } catch (error) {
      await Promise.allSettled([cgroup.remove(), scratch.remove()])
      throw error
    }
  }

  /** Ends what a slot consists of; the child must have ended, or waits and is let go. */
  async unmake(slot: Slot): Promise<void> {
    if (!slot.child.ended) {
      slot.child.release()
      await slot.child.exited
    }
    await Promise.all([slot.scratch.remove(), slot.cgroup.remove()])
  }

  #clone(profile: SlotProfile, hostname: string, cgroup: Cgroup): Slot['child'] {
    const { facts, idMapping, stageDir, cgroupViews, hosts, resolvConf } = this.#host
    const fds: number[] = [this.#mounts.clone(this.#root, { idMapped: profile.hasUserNamespace && !idMapping.single })]
    try {
      if (cgroup.unifiedDir !== undefined) fds.push(openDirectory(this.#native, cgroup.unifiedDir))
      const steps = buildPreparePlan({
        spec: { ...profile.spec, hostname },
        stageDir,
        mapMode: facts.uid === 0 ? '' : idMapping.mode,
        cgroupTasks: cgroup.selfAttachPaths,
        hasUnifiedCgroup: cgroup.unifiedDir !== undefined,
        cgroupViews,
        etcFiles: { ...etcFiles({
          hostname,
          network: profile.network,
          address: null,
          dns: profile.dns,
          extraHosts: profile.extraHosts,
          hostHosts: hosts,
          hostResolvConf: resolvConf,
        }) },
      })
      return this.#launcher.clone(steps, fds)
    } finally {
      for (const fd of fds) this.#native.close(fd)
    }
  }
}

const kOpenPathDirectory = 0o12200000

function openDirectory(native: Native, path: string): number {
  return native.openat2(-100, path, { flags: kOpenPathDirectory & ~0o2000000 })
}
