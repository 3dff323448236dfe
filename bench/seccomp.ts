// SPDX-License-Identifier: MIT

/** A rule of an OCI seccomp profile. */
export interface SeccompRule {
  names: string[]
  action: string
  args?: unknown[]
  errnoRet?: number
}

/** The `linux.seccomp` object of an OCI runtime config. */
export interface SeccompProfile {
  defaultAction: string
  defaultErrnoRet?: number
  architectures: string[]
  syscalls: SeccompRule[]
}

/** The form Docker keeps its profile in: rules with conditions on capabilities and architecture. */
interface DockerProfile {
  defaultAction: string
  defaultErrnoRet?: number
  syscalls: (SeccompRule & { includes?: Conditions; excludes?: Conditions })[]
}

interface Conditions {
  arches?: string[]
  caps?: string[]
}

const kArchitectures: Record<string, { docker: string; oci: string }> = {
  x64: { docker: 'amd64', oci: 'SCMP_ARCH_X86_64' },
  arm64: { docker: 'arm64', oci: 'SCMP_ARCH_AARCH64' },
}

/**
 * Resolves Docker's conditional profile for one architecture and one capability set, as dockerd does before it
 * hands it to a runtime.
 * @param nodeArch — `process.arch`
 * @param capabilities — names such as `CAP_CHOWN` that the container holds
 */
export function resolveDockerSeccomp(
  source: unknown,
  nodeArch: string,
  capabilities: readonly string[],
): SeccompProfile {
  const architecture = kArchitectures[nodeArch]
  if (architecture === undefined) throw new RangeError(`no seccomp architecture is known for ${nodeArch}`)
  const profile = source as DockerProfile
  const holds = (conditions: Conditions) => ({
    arch: conditions.arches?.includes(architecture.docker) ?? false,
    cap: conditions.caps?.some((name) => capabilities.includes(name)) ?? false,
  })
  const applies = ({ includes = {}, excludes = {} }: DockerProfile['syscalls'][number]) => {
    if (includes.arches !== undefined && !holds(includes).arch) return false
    if (includes.caps !== undefined && !holds(includes).cap) return false
    return !holds(excludes).arch && !holds(excludes).cap
  }
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: [architecture.oci],
    syscalls: profile.syscalls.filter(applies).map(withoutConditions),
  }
}

/** Counts system calls named by a profile, each rule with arguments once. */
export function countSeccompEntries(profile: SeccompProfile): number {
  return profile.syscalls.reduce((sum, rule) => sum + rule.names.length, 0)
}

function withoutConditions({ names, action, args, errnoRet }: SeccompRule): SeccompRule {
  return { names, action, ...(args === undefined ? {} : { args }), ...(errnoRet === undefined ? {} : { errnoRet }) }
}
