// SPDX-License-Identifier: MIT
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import { encodeAhead } from './encode.ts'
import { hasNamespace, namespaceFlags } from './namespaces.ts'
import { type Step, step } from './ops.ts'
import { kSlot } from './slots.ts'
import { execStep, identitySteps, streamSteps, surroundingSteps, terminalStreamSteps } from './start-plan.ts'

/** What the plans of many programs in one container have in common. */
export interface SharedExecInput {
  /** The container's configuration, with the program's process in it. */
  spec: RuntimeSpec
  /** Slot of a pidfd of the container's first process. */
  pidfdSlot: number
  /** v1 `tasks` files to join, but for those in {@link ExecInput}. */
  cgroupTasks: readonly string[]
  /** Whether the process is born in a cgroup on a v2 mount. */
  hasUnifiedCgroup: boolean
  /** Whether groups may be set: not by an ordinary user without a range of ids (user_namespaces(7)). */
  setsGroups: boolean
  /** A compiled filter. */
  seccomp: Uint8Array | undefined
}

/** Where a single program's process is. */
export interface ExecPlace {
  /** A cgroup directory to make for the program; `null`: it has none of its own. On the v2 mount, it is born there. */
  cgroupDirectory: string | null
  /** v1 `tasks` files to join besides. */
  cgroupTasks: readonly string[]
}

/** What is a single program's. */
export interface ExecProgram {
  /** As in the shared configuration, but for the arguments. */
  spec: RuntimeSpec
  /** Slots of descriptors 0, 1 and 2; -1 where the terminal or /dev/null serves. */
  stdio: readonly [number, number, number]
  /** Whether it goes on as a child of the container's process 1, and not of the launcher. */
  detached: boolean
  /** Size of the terminal, where there is one. */
  terminal: { rows: number; columns: number }
}

/** All that is a single program's. */
export type ExecInput = ExecPlace & ExecProgram

/** The steps that the plans of many programs share. */
export interface SharedExecSteps {
  isBornInCgroup: boolean
  score: readonly Step[]
  enter: readonly Step[]
  identity: readonly Step[]
}

/** Builds the shared steps, encoded: they are most of a plan. */
export function sharedExecSteps(input: SharedExecInput): SharedExecSteps {
  const { spec } = input
  const adjust = spec.process.oomScoreAdj
  const score = adjust === undefined ? [] : [step('oom_score_adj', 'set the out-of-memory score', [adjust])]
  const enter = [
    ...input.cgroupTasks.map(joinStep),
    ...enterSteps(input),
    ...(hasNamespace(spec, 'user') ? rootSteps(input) : []),
    step('pdeathsig', 'end with the launcher', [kSigkill]),
    step('dumpable', 'hide from ptrace', [0]),
    step('setsid', 'start a session'),
    step('session_keyring', 'get an own session keyring'),
  ]
  return {
    isBornInCgroup: input.hasUnifiedCgroup,
    score: encodeAhead(score),
    enter: encodeAhead(enter),
    identity: encodeAhead([...surroundingSteps(spec), ...identitySteps(input)]),
  }
}

const kSigkill = 9

/**
 * Builds the plan of a program in a running container: from a clone of the launcher, through the container's namespaces, to the
 * program, without a pause. Pure.
 *
 * The container is not to be trusted: from `setns` on no step may rely on a path, until the process is one of the container's.
 */
export function buildExecPlan(input: ExecInput, shared: SharedExecSteps): Step[] {
  return [...enteringSteps(input, shared), ...buildExecStartPlan(input, shared)]
}

/** Builds the first half of {@link buildExecPlan} alone: a process of the container's, which waits for its program. Pure. */
export function buildExecPreparePlan(place: ExecPlace, shared: SharedExecSteps): Step[] {
  return [...enteringSteps(place, shared), step('await', 'wait for the program')]
}

/** Builds the other half, for a process that waits: as the second plan, and the end of {@link buildExecPlan}. Pure. */
export function buildExecStartPlan(program: ExecProgram, shared: SharedExecSteps): Step[] {
  const { spec, stdio } = program
  return [
    ...(program.detached ? detachSteps() : []),
    ...(spec.process.terminal === true ? terminalSteps(program) : streamSteps(stdio, -1, '/dev/null')),
    ...shared.identity,
    execStep(spec),
  ]
}

/** The child has a parent of the container's, and is no leader of its session. */
function detachSteps(): Step[] {
  return [step('fork', 'leave the launcher'), step('setsid', 'start a session')]
}

function enteringSteps(place: ExecPlace, shared: SharedExecSteps): Step[] {
  return [...shared.score, ...cgroupSteps(place, shared), ...shared.enter]
}

function cgroupSteps({ cgroupDirectory, cgroupTasks }: ExecPlace, { isBornInCgroup }: SharedExecSteps): Step[] {
  const make =
    cgroupDirectory === null
      ? []
      : [step('mkdir', `make the cgroup ${cgroupDirectory}`, [-1, 0o755, 0], [cgroupDirectory])]
  const open =
    cgroupDirectory === null || !isBornInCgroup
      ? []
      : [step('open', 'open the cgroup', [kSlot.unifiedCgroup, -1, 0, 0], [cgroupDirectory])]
  return [...make, ...open, ...cgroupTasks.map(joinStep)]
}

function joinStep(path: string): Step {
  return step('cgroup_join', `join the cgroup ${path}`, [], [path])
}

function enterSteps({ spec, pidfdSlot, hasUnifiedCgroup }: SharedExecInput): Step[] {
  const all = namespaceFlags(spec, (type) => type !== 'cgroup')
  const cgroup = namespaceFlags(spec, (type) => type === 'cgroup')
  return [
    step('setns', "enter the container's namespaces", [pidfdSlot, all]),
    // A change of credentials may have undone it (fs.suid_dumpable).
    step('dumpable', 'hide from ptrace', [0]),
    step('clone', 'create the process', [0, hasUnifiedCgroup ? kSlot.unifiedCgroup : -1], ['', '']),
    // Not before the clone: on a mount with nsdelegate nobody gets from outside of a cgroup namespace into a cgroup inside.
    ...(cgroup === 0 ? [] : [step('setns', "enter the container's cgroup namespace", [pidfdSlot, cgroup])]),
  ]
}

/** The ids that we came with mean nothing in the container's user namespace; what is made there belongs to its root. */
function rootSteps({ setsGroups }: SharedExecInput): Step[] {
  return [
    ...(setsGroups ? [step('setgroups', 'let go of the groups of the host')] : []),
    step('setresgid', "become the container's root group", [0]),
    step('setresuid', "become the container's root", [0]),
  ]
}

function terminalSteps({ terminal: { rows, columns } }: ExecProgram): Step[] {
  return [
    step('open_pty', 'open the terminal', [kSlot.scratch, -1, rows, columns], ['/dev/pts/ptmx']),
    ...terminalStreamSteps(),
  ]
}
