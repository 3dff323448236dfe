// SPDX-License-Identifier: MIT
import { SyscallError, WherryError } from '../errors.ts'
import { isNativeError } from '../launcher/fs-native.ts'
import type { LauncherChild } from '../launcher/launcher-child.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import type { NormalizedExecOptions } from '../options/exec-options.ts'
import {
  buildExecPlan,
  buildExecPreparePlan,
  buildExecStartPlan,
  type ExecPlace,
  type ExecProgram,
} from '../plan/exec-plan.ts'
import { kSlot } from '../plan/slots.ts'
import { PlanDescriptors } from './descriptors.ts'
import { type ExecCgroup, planExecCgroup } from './exec-cgroup.ts'
import { type ExecProfile, kPidfdSlot, wantedUser } from './exec-profiles.ts'
import { type ExecTarget, endedError, isAlive, noPidfd } from './exec-target.ts'
import { killTree } from './exec-tree.ts'
import type { Runtime } from './runtime.ts'
import { hostUid } from './start-container.ts'
import { setUpError, startError } from './start-error.ts'
import type { Stop } from './stop.ts'
import { whenThereIsRoom } from './when-there-is-room.ts'

/** Adds the descriptors of standard input, output and error; -1 for none. */
export type Connect = (descriptors: PlanDescriptors, owner: number | null) => readonly [number, number, number]

const kSigkill = 9
const kSigstop = 19
const kSigcont = 18

/** A program in a running container. */
export class StartedExec {
  readonly child: LauncherChild
  readonly #runtime: Runtime
  readonly #cgroup: ExecCgroup
  #killing: Promise<void> | undefined

  constructor(runtime: Runtime, child: LauncherChild, cgroup: ExecCgroup) {
    this.#runtime = runtime
    this.child = child
    this.#cgroup = cgroup
  }

  /**
   * Ends the program and all that it has started with SIGKILL. Where it has no cgroup of its own, this is its session, and what is
   * connected to that by a line of parents.
   */
  kill(): void {
    if (this.child.pid === 0) {
      // Nothing else yet: who makes the process may be in the cgroup too, and tells who it is. The rest is for gone().
      this.child.kill(kSigkill)
    } else if (this.#cgroup.directory !== null) {
      this.child.kill(kSigkill)
      this.#killing = this.#cgroup.killAll()
    } else {
      // What it has started is known by it: it must be there, and make nothing new, until that is found.
      this.child.kill(kSigstop)
      this.#killing = killTree(this.#runtime.native, this.child.pid).finally(() => this.child.kill(kSigkill))
    }
    this.#killing?.catch(() => undefined)
  }

  /** Resolves when nothing is left of what {@link kill} ends. */
  async gone(): Promise<void> {
    await this.#killing
    // What was born while the first round was under way.
    await this.#cgroup.killAll()
  }

  /** Lets go of what belongs to the program. A cgroup in which something lives on goes with the container. */
  release(): void {
    if (this.#cgroup.directory !== null) this.#runtime.launcher.remove([`r${this.#cgroup.directory}`])
  }
}

/**
 * Starts a program in a running container, with the launcher of this process as its parent.
 *
 * @throws {ContainerStateError} when the container has ended. @throws {NotFoundError} for an unknown user.
 * @throws {ContainerStartError} @throws {UnsupportedHostError} before Linux 5.8
 */
export async function startExec(
  runtime: Runtime,
  target: ExecTarget,
  options: NormalizedExecOptions,
  connect: Connect,
  stop: Stop,
): Promise<StartedExec> {
  const descriptors = new PlanDescriptors(runtime.native)
  let spec: RuntimeSpec | undefined
  let pidfd: number | undefined
  try {
    pidfd = runtime.execs.targets.open(target)
    const profile = await profileOf(runtime, target, options, pidfd)
    spec = { ...profile.spec, process: { ...profile.spec.process, args: [...options.command] } }
    const stdio = connect(descriptors, hostUid(runtime, spec))
    const program = { spec, stdio, detached: options.detached, terminal: options.terminalSize }
    const parts = { runtime, target, profile, stop, pidfd }
    const exec =
      (await startWaiting(parts, program, descriptors.fds)) ?? (await startNew(parts, program, descriptors.fds))
    refill(parts)
    return exec
  } catch (error) {
    throw explain(runtime, target, spec, error)
  } finally {
    if (pidfd !== undefined) runtime.native.close(pidfd)
    descriptors.close()
  }
}

interface StartParts {
  readonly runtime: Runtime
  readonly target: ExecTarget
  readonly profile: ExecProfile
  readonly stop: Stop
  /** Of the container's first process. */
  readonly pidfd: number
}

/** @returns `undefined` where no process waits, or the one that did has been killed. */
async function startWaiting(
  { runtime, target, profile, stop }: StartParts,
  program: ExecProgram,
  fds: readonly number[],
): Promise<StartedExec | undefined> {
  // What is detached leaves no process of ours to be told of its end.
  if (program.detached) return undefined
  const { slots } = runtime.execs
  const steps = buildExecStartPlan(program, profile.shared)
  const slot = slots.take(target)
  if (slot === undefined) return undefined
  const exec = new StartedExec(runtime, slot.child, slot.cgroup)
  try {
    stop.arm(() => exec.kill())
    // The container's processes may have stopped it.
    slot.child.kill(kSigcont)
    await Promise.race([slot.child.start(steps, fds), stop.requested])
    return exec
  } catch (error) {
    // It may have heard of nothing, and still wait.
    slots.discard(slot)
    if (error instanceof WherryError && error.code === 'ERR_CHILD_ENDED' && stop.reason === undefined) return undefined
    throw error
  }
}

async function startNew(parts: StartParts, program: ExecProgram, fds: readonly number[]): Promise<StartedExec> {
  const { runtime, target, profile, stop, pidfd } = parts
  const cgroup = planExecCgroup(target.cgroup, runtime.execs.nextName())
  const stdio = program.stdio.map((slot) => (slot < 0 ? slot : slot - kSlot.secondPlan + kPidfdSlot + 1))
  const [stdin = -1, stdout = -1, stderr = -1] = stdio
  const input = { ...program, ...placeIn(cgroup), stdio: [stdin, stdout, stderr] as const }
  const steps = buildExecPlan(input, profile.shared)
  const child = await whenThereIsRoom(() => runtime.launcher.exec(steps, [pidfd, ...fds]))
  const exec = new StartedExec(runtime, child, cgroup)
  try {
    stop.arm(() => exec.kill())
    // A container that is frozen holds up who enters it; who no longer waits is let go then, and the process ends at its first breath.
    await Promise.race([child.prepared, stop.requested])
    return exec
  } catch (error) {
    exec.release()
    throw error
  }
}

function refill({ runtime, target, profile }: StartParts): void {
  runtime.execs.slots.refill(target, async () => {
    const cgroup = planExecCgroup(target.cgroup, runtime.execs.nextName())
    const steps = buildExecPreparePlan(placeIn(cgroup), profile.shared)
    const pidfd = runtime.execs.targets.open(target)
    try {
      return { child: await whenThereIsRoom(() => runtime.launcher.clone(steps, [pidfd])), cgroup }
    } finally {
      runtime.native.close(pidfd)
    }
  })
}

function placeIn({ directory, tasks }: ExecCgroup): ExecPlace {
  return { cgroupDirectory: directory, cgroupTasks: tasks }
}

async function profileOf(
  runtime: Runtime,
  target: ExecTarget,
  options: NormalizedExecOptions,
  pidfd: number,
): Promise<ExecProfile> {
  const { user, groups } = wantedUser(target, options)
  const resolved = await runtime.execs.users.resolve(target, user, groups)
  // The directory in /proc was still the container's: the number cannot have changed hands while its process is there.
  runtime.native.pidfdSendSignal(pidfd, 0)
  return runtime.execs.profiles.get(runtime, target, options, resolved)
}

function explain(runtime: Runtime, target: ExecTarget, spec: RuntimeSpec | undefined, error: unknown): unknown {
  const isOurs = error instanceof SyscallError || isNativeError(error)
  const mayBeGone = isOurs || (error instanceof WherryError && error.code === 'ERR_CHILD_ENDED')
  // Whatever else is said, this is why.
  if (mayBeGone && !isAlive(runtime.native, target)) return endedError(target, error)
  // A process that is ending has no root any more, some moments before it counts as ended.
  if (spec === undefined && isNativeError(error, 'ENOENT', 'ESRCH')) return endedError(target, error)
  if (!(error instanceof SyscallError) || spec === undefined) return error
  if (error.step === 'setns' && error.code === 'EINVAL') return noPidfd(error)
  const failed = 'The program could not be started in the container'
  if (error.step === 'chdir') return setUpError(failed, error, error.code === 'ENOENT' ? 127 : 126)
  return startError(error, spec, { failed, where: 'container' })
}
