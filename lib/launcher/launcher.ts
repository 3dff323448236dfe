// SPDX-License-Identifier: MIT
import { setTimeout as delay } from 'node:timers/promises'
import { WherryError } from '../errors.ts'
import { encodePlan } from '../plan/encode.ts'
import type { Step } from '../plan/ops.ts'
import { type ExplainFailure, explainPlainly, LauncherChild, sendPlan } from './launcher-child.ts'
import {
  cleanupRequest,
  type ExitEvent,
  parseExitEvent,
  removeRequest,
  type Supervision,
  superviseRequest,
} from './messages.ts'
import type { Native } from './native.ts'
import type { NativeChannel } from './process-native.ts'
import { Waker } from './waker.ts'

/** The helper process of one engine: parent of its containers. Ends, with all of them, when this process does. */
export class Launcher {
  readonly pid: number
  readonly #native: Native
  readonly #control: NativeChannel
  readonly #explain: ExplainFailure
  readonly #children = new Map<number, LauncherChild>()
  /** Ends that arrived before the pid did: the two travel on different sockets. */
  readonly #unclaimed = new Map<number, ExitEvent>()
  readonly #ended: Promise<void>
  #resolveEnded: () => void = () => {}
  readonly #toRemove: string[] = []
  readonly #waker: Waker
  #running = 0
  #closed = false
  #gone = false
  #stays = false

  private constructor(native: Native, explain: ExplainFailure) {
    this.#native = native
    this.#explain = explain
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    const { pid, fd } = native.startLauncher()
    this.pid = pid
    this.#waker = new Waker(pid)
    this.#control = new native.Channel(fd, (message) => {
      this.#onControl(message)
    })
    this.#control.unref()
  }

  /**
   * Starts the launcher.
   *
   * @throws {Error} Node-shaped, when the kernel refuses memfd_create, socketpair or execveat.
   */
  static start(native: Native, explain: ExplainFailure = explainPlainly): Launcher {
    return new Launcher(native, explain)
  }

  /** Starts a child with a first plan. Descriptors are duplicated by the kernel: the caller closes its own. */
  clone(steps: readonly Step[], fds: readonly number[]): LauncherChild {
    return this.#launch(steps, fds, false)
  }

  /** Starts a child with a plan that ends in a program: `prepared` settles when that runs. Else as {@link clone}. */
  exec(steps: readonly Step[], fds: readonly number[]): LauncherChild {
    return this.#launch(steps, fds, true)
  }

  #launch(steps: readonly Step[], fds: readonly number[], runs: boolean): LauncherChild {
    if (this.#closed) throw launcherGone()
    const [ours, theirs] = this.#native.socketPair()
    const child = new LauncherChild(this.#native, ours, steps, {
      explain: this.#explain,
      runs,
      onPid: (registered) => {
        this.#register(registered)
      },
      onKill: (killed) => this.awaitAnswer(killed.exited),
    })
    this.awaitAnswer(child.prepared)
    try {
      sendPlan(this.#native, this.#control, encodePlan(steps), [theirs, ...fds])
    } catch (error) {
      child.release()
      throw isBrokenPipe(error) ? launcherGone() : error
    } finally {
      this.#native.close(theirs)
    }
    return child
  }

  /** Tells of something that the launcher has to do: should somebody have stopped it, it is let go on. */
  awaitAnswer(answer: Promise<unknown>): void {
    if (!this.#gone) this.#waker.while(answer)
  }

  /**
   * Names what to remove when this process dies: `d` + directory, `c` + cgroup, `p` + prefix of cgroups, `r` + directory that goes
   * if it is empty.
   */
  registerCleanup(entries: readonly string[]): void {
    try {
      this.#control.send(cleanupRequest(entries), [])
    } catch (error) {
      throw isBrokenPipe(error) ? launcherGone() : error
    }
  }

  /**
   * Hands a child that waits for its program to the supervisor, which writes its output to `log` and its end to `exit` in the
   * container's directory. The kernel duplicates the descriptors: the caller closes its own.
   *
   * @param fds - the directory, then what standard output and standard error are read from, then what standard input is written to, as
   *   far as there are any; with a terminal its master alone
   */
  supervise(supervision: Supervision, fds: readonly number[]): void {
    try {
      this.#control.send(superviseRequest(supervision), fds)
    } catch (error) {
      throw isBrokenPipe(error) ? launcherGone() : error
    }
  }

  /**
   * Removes entries of the same form soon, in another process; {@link close} waits for it. What many containers leave goes in
   * one message: each wakes two processes, which compete with the next container for the CPUs.
   */
  remove(entries: readonly string[]): void {
    if (this.#toRemove.push(...entries) > entries.length) return
    setTimeout(() => this.#sendRemovals(), kRemovalDelayMs).unref()
  }

  /** Keeps the event loop alive while a container runs, as a child process would. */
  hold(): void {
    if (this.#running++ === 0) this.#control.ref()
  }

  /** Undoes one {@link hold}. */
  unhold(): void {
    if (--this.#running === 0) this.#control.unref()
  }

  /** Ends the launcher, which kills what still runs and removes what was registered, and waits for it. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#control.ref()
      while (this.#toRemove.length > 0 && !this.#closed) {
        this.#sendRemovals()
        if (this.#toRemove.length > 0) await delay(kRetryMs)
      }
    }
    if (!this.#closed) {
      this.#closed = true
      this.#control.ref()
      this.#control.end()
    }
    this.awaitAnswer(this.#ended)
    await this.#ended
  }

  /** A full socket means that the launcher is busy: what must go can wait, while starts cannot. */
  #sendRemovals(): void {
    while (!this.#closed && this.#toRemove.length > 0) {
      const batch = this.#toRemove.slice(0, kRemovalsPerMessage)
      try {
        this.#control.send(removeRequest(batch), [])
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
        setTimeout(() => this.#sendRemovals(), kRetryMs)
        return
      }
      this.#toRemove.splice(0, batch.length)
    }
  }

  #register(child: LauncherChild): void {
    if (this.#gone) {
      endOrphan(child)
      return
    }
    const early = this.#unclaimed.get(child.pid)
    if (early === undefined) {
      this.#children.set(child.pid, child)
      return
    }
    this.#unclaimed.delete(child.pid)
    child.onExit(early)
  }

  /** It stays our child: without this a zombie would be left as long as this process lives. */
  #reapLater(): void {
    const watch = new this.#native.Watch(this.#native.pidfdOpen(this.pid), () => this.#native.reap(this.pid))
    watch.unref()
  }

  #onControl(message: Buffer | null): void {
    if (message === null) {
      this.#closed = true
      this.#gone = true
      this.#waker.close()
      // The launcher was killed: its children got SIGKILL from the kernel (PR_SET_PDEATHSIG). One that stays looks after them.
      for (const child of this.#children.values()) this.#stays ? child.letGo() : endOrphan(child)
      this.#children.clear()
      if (this.#stays) this.#reapLater()
      else this.#native.reap(this.pid)
      this.#resolveEnded()
      return
    }
    const event = parseExitEvent(message)
    if (event.pid === 0) {
      this.#stays = true
      return
    }
    const child = this.#children.get(event.pid)
    if (child === undefined) {
      this.#unclaimed.set(event.pid, event)
      return
    }
    this.#children.delete(event.pid)
    child.onExit(event)
  }
}

const kSigkill = 9
const kRemovalsPerMessage = 100
const kRemovalDelayMs = 20
const kRetryMs = 2

/** The kernel ends children with the launcher, but for one that had not asked for it yet (PR_SET_PDEATHSIG). */
function endOrphan(child: LauncherChild): void {
  child.kill(kSigkill)
  child.onExit(killedWithLauncher(child.pid))
}

function killedWithLauncher(pid: number): ExitEvent {
  return { pid, exitCode: null, signal: kSigkill, userMicros: 0, systemMicros: 0, maxRssBytes: 0 }
}

function isBrokenPipe(error: unknown): boolean {
  return ['EPIPE', 'ECONNRESET', 'ENOTCONN'].includes((error as NodeJS.ErrnoException).code ?? '')
}

function launcherGone(): WherryError {
  return new WherryError('The launcher of this engine has ended.', {
    code: 'ERR_LAUNCHER_GONE',
    hint: 'open a new engine with Engine.open().',
  })
}
