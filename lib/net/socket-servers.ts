// SPDX-License-Identifier: MIT
import { openFirstProcess } from '../containers/first-process.ts'
import { ContainerStateError } from '../errors.ts'
import { processStatus } from '../host/process-status.ts'
import type { Launcher } from '../launcher/launcher.ts'
import type { Native } from '../launcher/native.ts'
import { buildServeSocketsPlan } from '../plan/serve-plan.ts'
import { PlanDescriptors } from '../runtime/descriptors.ts'
import { whenThereIsRoom } from '../runtime/when-there-is-room.ts'
import { SocketServer } from './socket-server.ts'

/** A container that runs, as far as one who reaches into its network must know it. */
export interface ReachTarget {
  readonly name: string
  /** Its first process on the host, and when that started: clock ticks since boot. */
  readonly pid: number
  readonly startTimeTicks: number | null
  readonly hasUserNamespace: boolean
  /** Whether its network is another one than the host's. */
  readonly hasNetworkNamespace: boolean
}

/** Processes that make sockets in containers: one for each that is in use. It ends with its container. */
export class SocketServers {
  readonly #native: Native
  readonly #launcher: Launcher
  /** Whether groups may be set: not by an ordinary user without a range of ids. */
  readonly #setsGroups: boolean
  readonly #open = new Map<string, Promise<SocketServer>>()

  constructor(native: Native, launcher: Launcher, setsGroups: boolean) {
    this.#native = native
    this.#launcher = launcher
    this.#setsGroups = setsGroups
  }

  /** The process for a container. @throws {ContainerStateError} when that has ended. */
  get(target: ReachTarget): Promise<SocketServer> {
    const key = `${target.pid} ${target.startTimeTicks}`
    const known = this.#open.get(key)
    if (known !== undefined) return known
    const forget = (): void => {
      if (this.#open.get(key) === opening) this.#open.delete(key)
    }
    const opening = this.#start(target, false, forget)
    this.#open.set(key, opening)
    opening.catch(forget)
    return opening
  }

  /**
   * Lets one process, which is in the container's mount namespace too, make one socket. It holds the container's files, and goes at once.
   *
   * @throws {ContainerStateError} when the container has ended.
   */
  async once<T>(target: ReachTarget, use: (server: SocketServer) => Promise<T>): Promise<T> {
    const server = await this.#start(target, true, () => undefined)
    try {
      return await use(server)
    } finally {
      await server.end()
    }
  }

  /** Ends all of them. */
  async close(): Promise<void> {
    const all = [...this.#open.values()]
    this.#open.clear()
    for (const opening of all) {
      const server = await opening.catch(() => undefined)
      await server?.end()
    }
  }

  async #start(target: ReachTarget, seesFiles: boolean, onEnd: () => void): Promise<SocketServer> {
    const launcher = this.#launcher
    // The launcher's word is all that we wait for: nothing else keeps the event loop going.
    launcher.hold()
    try {
      return await this.#enter(target, seesFiles, onEnd)
    } finally {
      launcher.unhold()
    }
  }

  async #enter(target: ReachTarget, seesFiles: boolean, onEnd: () => void): Promise<SocketServer> {
    const [native, launcher] = [this.#native, this.#launcher]
    const pidfd = await openFirstProcess(native, target)
    if (pidfd === undefined) throw endedError(target.name)
    const descriptors = new PlanDescriptors(native, 0)
    let ours: number | undefined
    let server: SocketServer | undefined
    try {
      const pidfdSlot = descriptors.own(pidfd)
      const pair = native.socketPair()
      ours = pair[0]
      const plan = buildServeSocketsPlan({
        pidfdSlot,
        socketSlot: descriptors.own(pair[1]),
        hasUserNamespace: target.hasUserNamespace,
        hasNetworkNamespace: target.hasNetworkNamespace,
        seesFiles,
        setsGroups: this.#setsGroups,
      })
      const child = await whenThereIsRoom(() => launcher.clone(plan, descriptors.fds))
      server = new SocketServer({ native, launcher, child, socket: ours })
      await child.prepared
      this.#endWith(pidfd, server, onEnd)
      return server
    } catch (error) {
      if (server !== undefined) await server.end()
      else if (ours !== undefined) native.close(ours)
      throw (await processStatus(target.pid)) === undefined ? endedError(target.name) : error
    } finally {
      descriptors.close()
    }
  }

  #endWith(pidfd: number, server: SocketServer, onEnd: () => void): void {
    const watch = new this.#native.Watch(this.#native.duplicate(pidfd), () => {
      onEnd()
      void server.end()
    })
    watch.unref()
    void server.gone.then(() => {
      onEnd()
      watch.close()
    })
  }
}

/** The error for a container that has ended. */
export function endedError(name: string): ContainerStateError {
  return new ContainerStateError(`container ${name}`, 'exited', 'reach into', ['running', 'paused'])
}
