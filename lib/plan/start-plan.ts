// SPDX-License-Identifier: MIT

import { kInitAnnotation } from '../oci/build-spec.ts'
import { capabilityMask } from '../oci/capabilities.ts'
import { kRlimitInfinity, type RuntimeMount, type RuntimeSpec } from '../oci/runtime-spec.ts'
import { type CgroupView, cgroupMounts } from './cgroup-mounts.ts'
import { nulTerminated } from './encode.ts'
import { kMountAttr, parseMountWords } from './mount-words.ts'
import { type Step, step } from './ops.ts'
import { hasOwnSys, isBindMount, isInStandardMount, isStandardMount } from './prepare-plan.ts'
import { kSlot } from './slots.ts'

/** A detached mount in a slot. */
export interface BindSource {
  slot: number
  directory: boolean
}

/** What the second plan depends on, besides the configuration. */
export interface StartInput {
  spec: RuntimeSpec
  /** Sources of bind mounts by destination: detached mounts that came with this plan, their attributes set. */
  bindSlots: ReadonlyMap<string, BindSource>
  /** Whether the first plan has made the bind mounts. */
  bindsAhead: boolean
  cgroupViews: readonly CgroupView[]
  /** Directories that the image declares as volumes: they exist, and stay writable on a read-only root. */
  volumes: readonly string[]
  /** Slots of descriptors 0, 1 and 2; -1 where the terminal or /dev/null serves. */
  stdio: readonly [number, number, number]
  /** Whether groups may be set: not by an ordinary user without a range of ids (user_namespaces(7)). */
  setsGroups: boolean
  /** A compiled filter. */
  seccomp: Uint8Array | undefined
}

const kSigkill = 9
const kSeccompLog = { SECCOMP_FILTER_FLAG_LOG: 2, SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4 } as const

/** Builds the second plan: from a prepared child inside its root to the container's program. Pure. */
export function buildStartPlan(input: StartInput): Step[] {
  const { spec } = input
  return [
    ...spec.mounts
      .filter((mount) => !isStandardMount(mount) && !(input.bindsAhead && isBindMount(mount)))
      .map((mount) => userMount(mount, input.bindSlots)),
    ...(hasOwnSys(spec) ? [] : hostSysCgroups(input)),
    ...otherHiddenPaths(spec),
    ...volumeSteps(input),
    step('mkdir', `make the working directory ${spec.process.cwd}`, [kSlot.root, 0o755, 1], [spec.process.cwd]),
    ...(spec.root.readonly === true
      ? [step('mount_setattr', 'make the root read-only', [kSlot.root, kMountAttr.readOnly, 0, 0, 0, -1])]
      : []),
    ...(spec.process.terminal === true ? terminalSteps() : streamSteps(input.stdio, kSlot.dev, 'null')),
    ...surroundingSteps(spec),
    ...identitySteps(input),
    ...(spec.annotations?.[kInitAnnotation] === 'true' ? [step('init', 'start the first process')] : []),
    execStep(spec),
  ]
}

/** Puts a mount of the options in place. */
export function userMount(mount: RuntimeMount, bindSlots: ReadonlyMap<string, BindSource>): Step {
  const { attr, data } = parseMountWords(mount.options)
  const { destination } = mount
  const bind = bindSlots.get(destination)
  if (bind !== undefined) {
    const integers = [bind.slot, kSlot.root, bind.directory ? 1 : 0]
    return step('move_mount', `bind ${mount.source} to ${destination}`, integers, [destination])
  }
  return step('fsmount', `mount ${destination}`, [-1, kSlot.root, attr], [mount.type ?? 'tmpfs', destination, ...data])
}

/** Over the host's /sys go the container's own views of its cgroups. */
function hostSysCgroups({ spec, cgroupViews }: StartInput): Step[] {
  const mount = spec.mounts.find(({ destination }) => destination === '/sys/fs/cgroup')
  if (mount === undefined || !isStandardMount(mount)) return []
  return cgroupMounts(cgroupViews, parseMountWords(mount.options).attr, kSlot.root, 'sys/fs/cgroup')
}

/** A volume of a run is part of the writable layer, which goes with the run as an anonymous volume would (docker run --rm). */
function volumeSteps({ spec, volumes }: StartInput): Step[] {
  const mounted = new Set(spec.mounts.map(({ destination }) => destination))
  return volumes
    .filter((path) => !mounted.has(path))
    .flatMap((path) => [
      step('mkdir', `make the volume ${path}`, [kSlot.root, 0o755, 1], [path]),
      ...(spec.root.readonly === true
        ? [
            step(
              'bind',
              `keep the volume ${path} writable`,
              [kSlot.root, kSlot.root, 1, 0, -1, 0],
              [path.slice(1), path],
            ),
          ]
        : []),
    ])
}

function otherHiddenPaths(spec: RuntimeSpec): Step[] {
  const elsewhere = (path: string): boolean => !isInStandardMount(spec, path)
  return [
    ...(spec.linux.maskedPaths ?? [])
      .filter(elsewhere)
      .map((path) => step('mask_path', `mask ${path}`, [kSlot.root], [path])),
    ...(spec.linux.readonlyPaths ?? [])
      .filter(elsewhere)
      .map((path) => step('readonly_path', `make ${path} read-only`, [kSlot.root], [path])),
  ]
}

/** Limits, descriptors and place of the program: all that comes between its streams and its identity. */
export function surroundingSteps({ process }: RuntimeSpec): Step[] {
  return [
    ...(process.rlimits ?? []).map(({ type, soft, hard }) =>
      step('rlimit', `set ${type}`, [rlimitNumber(type), limitValue(soft), limitValue(hard)]),
    ),
    step('umask', 'set the file mode mask', [process.user.umask ?? 0o022]),
    step('close_others', "close the host's descriptors"),
    step('chdir', `enter the working directory ${process.cwd}`, [0], [process.cwd]),
  ]
}

function terminalSteps(): Step[] {
  return [
    step('open_pty', 'open the terminal', [kSlot.scratch, kSlot.dev, 24, 80], ['pts/ptmx']),
    // As in Docker, the terminal is the console too.
    step('bind', 'make /dev/console', [kSlot.scratch, kSlot.dev, 0, 0, -1, 0], ['', 'console']),
    ...terminalStreamSteps(),
  ]
}

/** Connects the terminal in {@link kSlot.scratch} to the three standard streams. */
export function terminalStreamSteps(): Step[] {
  return [
    ...[0, 1, 2].map((fd) => step('stdio', `connect descriptor ${fd}`, [kSlot.scratch, fd])),
    step('controlling_tty', 'take the terminal', [0]),
  ]
}

/**
 * Connects the standard streams.
 *
 * @param stdio - slots of descriptors 0, 1 and 2; -1 where /dev/null serves
 * @param directory - slot of the directory below which `nullPath` is /dev/null; -1 is the root
 */
export function streamSteps(stdio: StartInput['stdio'], directory: number, nullPath: string): Step[] {
  const openNull = stdio.includes(-1)
    ? [step('open', 'open /dev/null', [kSlot.scratch, directory, 2, 0], [nullPath])]
    : []
  return [
    ...openNull,
    ...stdio.map((slot, fd) => step('stdio', `connect descriptor ${fd}`, [slot < 0 ? kSlot.scratch : slot, fd])),
  ]
}

/** Makes the process what it is allowed to be. The kernel gives the order. */
export function identitySteps({
  spec,
  seccomp,
  setsGroups,
}: Pick<StartInput, 'spec' | 'seccomp' | 'setsGroups'>): Step[] {
  const { user, capabilities, noNewPrivileges } = spec.process
  const mask = (names: readonly string[] | undefined): bigint => BigInt.asIntN(64, capabilityMask(names ?? []))
  const flags = (spec.linux.seccomp?.flags ?? []).reduce(
    (sum, flag) => sum | (kSeccompLog[flag as keyof typeof kSeccompLog] ?? 0),
    0,
  )
  const filter = seccomp === undefined ? [] : [step('seccomp', 'install the system call filter', [flags], [seccomp])]
  const groups = [...new Set(user.additionalGids ?? [])]
  return [
    step('bounding', 'reduce the capability bounding set', [mask(capabilities?.bounding)]),
    // Without no_new_privs a filter needs CAP_SYS_ADMIN, which is gone after the next steps.
    ...(noNewPrivileges === true ? [] : filter),
    step('keepcaps', 'keep capabilities while ids change', [1]),
    ...(setsGroups ? [step('setgroups', 'set the supplementary groups', groups)] : []),
    step('setresgid', `become group ${user.gid}`, [user.gid]),
    step('setresuid', `become user ${user.uid}`, [user.uid]),
    step('capset', 'set the capabilities', [
      mask(capabilities?.effective),
      mask(capabilities?.permitted),
      mask(capabilities?.inheritable),
    ]),
    step('ambient', 'set the ambient capabilities', [mask(capabilities?.ambient)]),
    step('pdeathsig', 'end with the launcher', [kSigkill]),
    ...(noNewPrivileges === true ? [step('no_new_privs', 'forbid new privileges'), ...filter] : []),
  ]
}

/** The last step: the program. */
export function execStep(spec: RuntimeSpec): Step {
  const { args, env } = spec.process
  const path = env.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? ''
  return step('exec', `run ${args[0]}`, [], [args[0] ?? '', nulTerminated(args), nulTerminated(env), path])
}

const kRlimits = [
  'CPU',
  'FSIZE',
  'DATA',
  'STACK',
  'CORE',
  'RSS',
  'NPROC',
  'NOFILE',
  'MEMLOCK',
  'AS',
  'LOCKS',
  'SIGPENDING',
  'MSGQUEUE',
  'NICE',
  'RTPRIO',
  'RTTIME',
]

function rlimitNumber(type: string): number {
  return kRlimits.indexOf(type.replace('RLIMIT_', ''))
}

function limitValue(value: number): number {
  return value >= kRlimitInfinity ? -1 : value
}

/**
 * Splits a plan where its terminal is open and nothing uses it yet: the process waits there until whoever watches over it has the other
 * side. Without a terminal there is nothing to wait for.
 */
export function splitAtTerminal(steps: readonly Step[]): [ahead: Step[], rest: readonly Step[]] {
  const at = steps.findIndex(({ op }) => op === 'open_pty') + 1
  if (at === 0) return [[], steps]
  return [[...steps.slice(0, at), step('await', 'wait until the terminal is taken over')], steps.slice(at)]
}
