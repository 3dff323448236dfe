// SPDX-License-Identifier: MIT
import { OneATurn } from '../async/one-a-turn.ts'
import { FileThreads } from '../container-files/file-threads.ts'
import { explainFailure } from '../host/explain.ts'
import { Launcher } from '../launcher/launcher.ts'
import type { ExplainFailure } from '../launcher/launcher-child.ts'
import type { Native } from '../launcher/native.ts'
import { errnoName, stepError } from '../launcher/step-error.ts'
import type { PortRelays } from '../net/port-relay.ts'
import { SocketServers } from '../net/socket-servers.ts'
import { SeccompCache } from '../oci/seccomp/seccomp-cache.ts'
import type { UserFiles } from '../rootfs/users.ts'
import type { Store } from '../store/store.ts'
import { removeDeadCgroups } from './dead-cgroups.ts'
import { Execs } from './execs.ts'
import { type HostContext, readHostContext } from './host-context.ts'
import { IdMappedMounts } from './id-mapped-mounts.ts'
import { readUserFiles, userFilesVersion } from './image-files.ts'
import { type Rootfs, SlotFactory } from './slot-factory.ts'
import { SlotPool } from './slot-pool.ts'

/** Settings of {@link Runtime}. */
export interface RuntimeOptions {
  /** Containers prepared ahead per profile. */
  prepared: number
}

const kIdleMs = 10_000
const kMaxUserFiles = 64

/** What runs the containers of one engine: launcher, host facts, prepared children, caches. */
export class Runtime {
  readonly native: Native
  readonly store: Store
  readonly host: HostContext
  readonly launcher: Launcher
  readonly mounts: IdMappedMounts
  readonly pool: SlotPool
  readonly seccomp: SeccompCache
  /** Of the event loop, for what is done once for each container and takes a while. */
  readonly turns = new OneATurn()
  /** Threads that work on files of containers. */
  readonly fileThreads = new FileThreads()
  readonly execs: Execs
  /** Processes that make sockets in containers. */
  readonly sockets: SocketServers
  /** Published ports of containers that run, by id. One that starts again needs them free. */
  readonly relays = new Map<string, PortRelays>()
  /** Layers never change, so neither do the files of users in them; the host's are known by their status. */
  readonly #userFiles = new Map<string, UserFiles>()

  private constructor(
    native: Native,
    store: Store,
    host: HostContext,
    launcher: Launcher,
    mounts: IdMappedMounts,
    options: RuntimeOptions,
  ) {
    this.native = native
    this.store = store
    this.host = host
    this.launcher = launcher
    this.mounts = mounts
    this.seccomp = new SeccompCache()
    this.execs = new Execs(native, launcher, { enabled: options.prepared > 0, idleMs: kIdleMs })
    this.sockets = new SocketServers(native, launcher, host.idMapping.mode !== 'deny')
    const readUsers = (rootfs: Rootfs): Promise<UserFiles> => this.#readUsers(rootfs)
    const parts = {
      native,
      launcher,
      session: store.session,
      host,
      root: store.root,
      mounts,
      readUsers,
      turns: this.turns,
    }
    this.pool = new SlotPool(new SlotFactory(parts), { size: options.prepared, idleMs: kIdleMs })
  }

  /** Looks at the host and starts the launcher. */
  static async start(native: Native, store: Store, options: RuntimeOptions): Promise<Runtime> {
    const host = await readHostContext(store.root)
    const launcher = Launcher.start(native, explainer(host))
    launcher.hold()
    try {
      launcher.registerCleanup([`d${store.session.dir}`, ...cgroupPrefixes(host, store.session.id)])
      const privileged = host.facts.rootful
      const mounts = await IdMappedMounts.create(native, launcher, privileged ? host.idMapping.map : null)
      return new Runtime(native, store, host, launcher, mounts, options)
    } catch (error) {
      await launcher.close()
      throw error
    } finally {
      launcher.unhold()
    }
  }

  async #readUsers(rootfs: Rootfs): Promise<UserFiles> {
    const isHost = rootfs.kind === 'host'
    const roots = isHost ? ['/'] : rootfs.layers.map(({ dir }) => dir).reverse()
    const key = isHost ? userFilesVersion(this.native) : roots.join(':')
    let files = this.#userFiles.get(key)
    if (files === undefined) {
      files = await readUserFiles(this.native, roots)
      if (this.#userFiles.size >= kMaxUserFiles) this.#userFiles.clear()
      this.#userFiles.set(key, files)
    }
    return files
  }

  /** Ends prepared children and the launcher, and with it whatever still runs. */
  async close(): Promise<void> {
    this.launcher.hold()
    await this.fileThreads.close()
    await this.sockets.close()
    await this.pool.close()
    this.mounts.close()
    await this.execs.close()
    await this.launcher.close()
    // What the launcher could not remove because it, or its janitor, was killed.
    await removeDeadCgroups([this.store.session.id])
    await this.host.driver.removeParents()
  }
}

function explainer(host: HostContext): ExplainFailure {
  return (failure, step) => {
    const [code] = errnoName(failure.errno)
    const hint = explainFailure({
      syscall: failure.call,
      code,
      step: step?.op,
      userNamespace: step?.op === 'clone' && (BigInt(step.integers[0] ?? 0) & 0x10000000n) !== 0n,
      fsType: step?.op === 'fsmount' && typeof step.strings[0] === 'string' ? step.strings[0] : undefined,
      facts: host.facts,
    })
    return stepError(failure, step, hint)
  }
}

function cgroupPrefixes({ world }: HostContext, sessionId: string): string[] {
  return world.hierarchies
    .filter(({ writable }) => writable)
    .map(({ mountPoint }) => `p${mountPoint}/wherry/${sessionId}-`)
}
