// SPDX-License-Identifier: MIT
import type { LauncherChild } from '../launcher/launcher-child.ts'
import type { PlanDescriptors } from '../runtime/descriptors.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { ContainerRecord } from './record.ts'

/** -1 as the kernel reads it. */
const kKeepGroup = 0xffffffff

/** The streams of a container that outlasts a call, until the launcher has them. */
export class SupervisedStreams {
  readonly #runtime: Runtime
  readonly #hasTerminal: boolean
  readonly #hasInput: boolean
  readonly #ours: number[] = []

  constructor(runtime: Runtime, { options, stdin }: ContainerRecord) {
    this.#runtime = runtime
    this.#hasTerminal = options.tty === true
    this.#hasInput = stdin !== undefined
  }

  /** @returns slots of descriptors 0, 1 and 2; see StartRequest.connect */
  connect(descriptors: PlanDescriptors, owner: number | null): [number, number, number] {
    if (this.#hasTerminal) return [-1, -1, -1]
    const { native } = this.#runtime
    const make = (ours: 'read' | 'write'): number => {
      const [own, theirs] = native.pipe(ours)
      this.#ours.push(own)
      if (owner !== null) native.fchown(theirs, owner, kKeepGroup)
      return descriptors.own(theirs)
    }
    // In the order in which the launcher wants them.
    const [stdout, stderr] = [make('read'), make('read')]
    return [this.#hasInput ? make('write') : -1, stdout, stderr]
  }

  /** What to hand to the launcher, once the child waits for that. */
  takeOver(child: LauncherChild): { hasTerminal: boolean; fds: readonly number[] } {
    if (this.#hasTerminal) {
      this.#ours.push(child.ptyFd)
      child.ptyFd = -1
    }
    return { hasTerminal: this.#hasTerminal, fds: this.#ours }
  }

  /** The launcher has its own by now. */
  close(): void {
    for (const fd of this.#ours.splice(0)) if (fd >= 0) this.#runtime.native.close(fd)
  }
}
