// SPDX-License-Identifier: MIT
import type { RuntimeSeccomp, SeccompAction, SeccompArg, SeccompRule } from './runtime-spec.ts'
import {
  type DefaultRule,
  kAllowedPersonalities,
  kAllowedWithCapability,
  kAlwaysAllowed,
  kCloneNamespaceFlags,
  kRefusedSocketFamilies,
} from './seccomp/default-profile.ts'
import { seccompArchInfo } from './seccomp/syscall-table.ts'

/** When a rule of a profile applies: all `caps`, one of `arches` (`'amd64'`, `'arm64'`, …), kernel at least `minKernel`. */
export interface SeccompCondition {
  caps?: readonly string[] | null
  arches?: readonly string[] | null
  minKernel?: string | null
}

/** One rule of a profile in Docker's JSON format. */
export interface SeccompProfileRule {
  names?: readonly string[]
  name?: string
  action: SeccompAction
  errnoRet?: number
  args?: readonly SeccompArg[] | null
  comment?: string
  includes?: SeccompCondition | null
  excludes?: SeccompCondition | null
}

/**
 * A seccomp profile in Docker's JSON format: rules that may depend on capabilities, architecture and kernel.
 *
 * @source https://docs.docker.com/engine/security/seccomp/
 */
export interface SeccompProfile {
  defaultAction: SeccompAction
  defaultErrnoRet?: number
  architectures?: readonly string[] | null
  archMap?: readonly { architecture: string; subArchitectures?: readonly string[] | null }[] | null
  flags?: readonly string[] | null
  syscalls?: readonly SeccompProfileRule[] | null
}

/** What a profile's conditions are looked at against. */
export interface SeccompSubject {
  arch: 'x64' | 'arm64'
  /** Names of the capabilities in the container's bounding set. */
  capabilities: readonly string[]
  /** Kernel release, as uname says it. */
  kernel: string
}

const kErrnoNosys = 38

/**
 * Returns the default profile: an allow-list. Whatever is not listed answers EPERM, and system calls that wherry does not know
 * answer ENOSYS (see {@link compileSeccomp}). clone3 answers ENOSYS, because a filter cannot see its flags in memory; a libc
 * then uses clone, whose flags are looked at.
 *
 * @param compat - whether 32-bit x86 programs may run on x64. Otherwise their first system call kills them: the 32-bit entry is
 * kernel code that few need, its `socketcall` hides which sockets are made, and the filter takes twice as long to load.
 */
export function defaultSeccompProfile(compat = false): SeccompProfile {
  const allow = (rule: DefaultRule): SeccompProfileRule => ({
    names: rule.names.split(' '),
    action: 'SCMP_ACT_ALLOW',
    ...((rule.caps ?? rule.arches) === undefined
      ? {}
      : { includes: { ...(rule.caps && { caps: rule.caps }), ...(rule.arches && { arches: rule.arches }) } }),
  })
  const allowWhen = (name: string, args: SeccompArg[]): SeccompProfileRule => ({
    names: [name],
    action: 'SCMP_ACT_ALLOW',
    args,
  })
  const withoutAdmin = { excludes: { caps: ['CAP_SYS_ADMIN'] } }
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    archMap: [
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: compat ? ['SCMP_ARCH_X86'] : [] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: [] },
    ],
    syscalls: [
      ...kAlwaysAllowed.map(allow),
      ...socketRules().map((args) => allowWhen('socket', args)),
      ...kAllowedPersonalities.map((value) => allowWhen('personality', [{ index: 0, value, op: 'SCMP_CMP_EQ' }])),
      ...kAllowedWithCapability.map(allow),
      {
        ...allowWhen('clone', [{ index: 0, value: kCloneNamespaceFlags, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }]),
        ...withoutAdmin,
      },
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: kErrnoNosys, ...withoutAdmin },
    ],
  }
}

/**
 * Resolves a profile for one container: keeps the rules whose conditions hold, and joins those without arguments that do the
 * same. The order of the others is kept.
 */
export function selectSeccomp(profile: SeccompProfile, subject: SeccompSubject): RuntimeSeccomp {
  const always = new Map<string, SeccompRule>()
  const withArgs: SeccompRule[] = []
  for (const rule of profile.syscalls ?? []) {
    if (!applies(rule, subject)) continue
    const names = rule.names ?? (rule.name === undefined ? [] : [rule.name])
    if (names.length === 0) continue
    const errno = rule.errnoRet === undefined ? {} : { errnoRet: rule.errnoRet }
    if (rule.args !== undefined && rule.args !== null && rule.args.length > 0) {
      withArgs.push({ names: [...names], action: rule.action, ...errno, args: rule.args.map((arg) => ({ ...arg })) })
      continue
    }
    const key = `${rule.action} ${rule.errnoRet}`
    const joined = always.get(key) ?? { names: [], action: rule.action, ...errno }
    joined.names.push(...names)
    always.set(key, joined)
  }
  for (const rule of always.values()) rule.names = [...new Set(rule.names)].sort()
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: selectArchitectures(profile, subject.arch),
    ...(profile.flags && profile.flags.length > 0 ? { flags: [...profile.flags] } : {}),
    syscalls: [...always.values(), ...withArgs],
  }
}

/** Families below the first refused one, between two of them, and above the last. */
function socketRules(): SeccompArg[][] {
  const rules: SeccompArg[][] = []
  let from = 0
  for (const family of kRefusedSocketFamilies) {
    if (from === 0) rules.push([{ index: 0, value: family, op: 'SCMP_CMP_LT' }])
    else for (let value = from; value < family; value++) rules.push([{ index: 0, value, op: 'SCMP_CMP_EQ' }])
    from = family + 1
  }
  rules.push([{ index: 0, value: from - 1, op: 'SCMP_CMP_GT' }])
  return rules
}

function applies(rule: SeccompProfileRule, subject: SeccompSubject): boolean {
  const docker = seccompArchInfo(subject.arch).docker
  const { includes, excludes } = rule
  if (includes?.arches?.length && !includes.arches.includes(docker)) return false
  if (includes?.caps && !includes.caps.every((cap) => subject.capabilities.includes(cap))) return false
  if (includes?.minKernel && !kernelAtLeast(subject.kernel, includes.minKernel)) return false
  if (excludes?.arches?.includes(docker)) return false
  if (excludes?.caps?.some((cap) => subject.capabilities.includes(cap))) return false
  if (excludes?.minKernel && kernelAtLeast(subject.kernel, excludes.minKernel)) return false
  return true
}

function selectArchitectures(profile: SeccompProfile, arch: 'x64' | 'arm64'): string[] {
  const native = seccompArchInfo(arch).scmp
  const mapped = profile.archMap?.find((each) => each.architecture === native)
  if (mapped !== undefined) return [native, ...(mapped.subArchitectures ?? [])]
  return [...new Set([native, ...(profile.architectures ?? [])])]
}

/** Compares the first two numbers of two kernel releases. */
function kernelAtLeast(kernel: string, wanted: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.', 2).map((part) => Number.parseInt(part, 10))
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split('.', 2).map((part) => Number.parseInt(part, 10))
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}
