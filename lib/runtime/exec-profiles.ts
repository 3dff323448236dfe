// SPDX-License-Identifier: MIT
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import type { NormalizedExecOptions } from '../options/exec-options.ts'
import { type SharedExecSteps, sharedExecSteps } from '../plan/exec-plan.ts'
import type { ResolvedUser } from '../rootfs/users.ts'
import { sharedTasks } from './exec-cgroup.ts'
import type { ExecTarget } from './exec-target.ts'
import type { Runtime } from './runtime.ts'
import { buildSpec, filterOf } from './start-container.ts'

/** Everything about a program but its arguments and streams. */
export interface ExecProfile {
  /** The container's configuration, with a process that has no arguments yet. */
  readonly spec: RuntimeSpec
  readonly shared: SharedExecSteps
}

interface Known {
  /** What the profile was made from, besides the options. */
  user: ResolvedUser
  cgroup: ExecTarget['cgroup']
  imageConfig: ExecTarget['imageConfig']
  key: string
  profile: ExecProfile
}

/** Slot of the pidfd: descriptors that come with a first plan fill the slots from 0 on. */
export const kPidfdSlot = 0

/** Profiles of programs, by the options of their container: programs in one container are mostly of a kind. */
export class ExecProfiles {
  readonly #known = new WeakMap<NormalizedContainerOptions, Known>()

  /** @throws {InvalidOptionError} for ids that the container's user namespace does not map. */
  get(runtime: Runtime, target: ExecTarget, options: NormalizedExecOptions, user: ResolvedUser): ExecProfile {
    const { cgroup, imageConfig, hostname } = target
    const { cwd, tty, privileged, env } = options
    const key = JSON.stringify([hostname, cwd, tty, privileged, [...env]])
    const known = this.#known.get(target.options)
    const fits = known?.key === key && known.user === user && known.cgroup === cgroup
    if (known !== undefined && fits && known.imageConfig === imageConfig) return known.profile
    const profile = makeProfile(runtime, target, options, user)
    this.#known.set(target.options, { user, cgroup, imageConfig, key, profile })
    return profile
  }
}

/** User and groups of a program, as they are asked for. */
export function wantedUser(
  { options, imageConfig }: ExecTarget,
  exec: NormalizedExecOptions,
): { user: string; groups: readonly string[] } {
  return {
    user: exec.user ?? options.user ?? imageConfig.User ?? '',
    groups: exec.groups ?? options.groups,
  }
}

function makeProfile(
  runtime: Runtime,
  target: ExecTarget,
  exec: NormalizedExecOptions,
  user: ResolvedUser,
): ExecProfile {
  const { imageConfig, hostname, cgroup } = target
  const options = mergeOptions(target.options, exec)
  const spec = withCapabilities(runtime, exec, buildSpec(runtime, { options, imageConfig }, hostname, user))
  const shared = sharedExecSteps({
    spec,
    pidfdSlot: kPidfdSlot,
    cgroupTasks: sharedTasks(cgroup),
    hasUnifiedCgroup: cgroup?.unifiedDir !== undefined,
    setsGroups: runtime.host.idMapping.mode !== 'deny',
    seccomp: filterOf(runtime, spec),
  })
  return { spec, shared }
}

function withCapabilities(runtime: Runtime, { privileged }: NormalizedExecOptions, spec: RuntimeSpec): RuntimeSpec {
  if (!privileged) return spec
  const all = [...runtime.host.facts.boundingCapabilities]
  const capabilities = { bounding: all, effective: all, permitted: all, inheritable: [], ambient: [] }
  return { ...spec, process: { ...spec.process, capabilities } }
}

/** The container's options with the program's over them. */
function mergeOptions(container: NormalizedContainerOptions, exec: NormalizedExecOptions): NormalizedContainerOptions {
  return {
    ...container,
    command: exec.command,
    entrypoint: [],
    env: exec.env.size === 0 ? container.env : new Map([...container.env, ...exec.env]),
    cwd: exec.cwd ?? container.cwd,
    user: exec.user ?? container.user,
    groups: exec.groups ?? container.groups,
    tty: exec.tty,
    init: false,
  }
}
