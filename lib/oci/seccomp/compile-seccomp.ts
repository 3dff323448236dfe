// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../../errors.ts'
import type { RuntimeSeccomp, SeccompAction, SeccompArg } from '../runtime-spec.ts'
import { BackwardProgram, type BpfPosition, kBpf } from './bpf.ts'
import { emitCondition, type SeccompCondition64 } from './conditions.ts'
import { type SeccompArch, seccompArchInfo } from './syscall-table.ts'

const kErrnoPerm = 1
const kErrnoNosys = 38
const kRetKillProcess = 0x80000000
const kRetErrno = 0x00050000
const kRetNosys = kRetErrno | kErrnoNosys
/** Numbers from here on are the x32 interface of x86_64. */
const kX32Bit = 0x40000000
const kOffsetNumber = 0
const kOffsetArch = 4

/** What happens to one system call: the first rule whose conditions all hold, else the fallback. Values are SECCOMP_RET_…. */
export interface SyscallDecision {
  rules: readonly { conditions: readonly SeccompCondition64[]; value: number }[]
  fallback: number
}

/** A stretch of system call numbers with the same decision, up to the start of the next one. */
export interface SyscallRange {
  start: number
  decision: SyscallDecision
}

/**
 * Compiles a filter to classic BPF: an array of struct sock_filter, little endian, ready for seccomp(2).
 *
 * - A foreign architecture kills the process; x32 numbers answer ENOSYS.
 * - Numbers that wherry does not know answer ENOSYS, as runc does, unless the default action lets calls through: a libc that
 *   tries a new system call falls back to an old one only on ENOSYS.
 * - Rules with conditions are looked at in their order and before those without: the specific one wins.
 * - Several conditions on one argument in one rule are alternatives, as in runc.
 * - Names that the architecture does not have are left out.
 *
 * @param arch - the interface of the machine; `SCMP_ARCH_X86` in `architectures` adds 32-bit programs on x64.
 * @throws {InvalidOptionError} for actions, values and indexes outside of what the kernel can do.
 * @throws {WherryError} `ERR_SECCOMP_TOO_LONG` when it does not fit into 4096 instructions.
 * @source https://www.kernel.org/doc/html/v6.6/userspace-api/seccomp_filter.html
 */
export function compileSeccomp(seccomp: RuntimeSeccomp, arch: 'x64' | 'arm64'): Uint8Array {
  const program = new BackwardProgram()
  const arches: SeccompArch[] = [arch]
  if (arch === 'x64' && seccomp.architectures?.includes('SCMP_ARCH_X86')) arches.push('x86')

  let next: BpfPosition = program.return(kRetKillProcess)
  // From last to first, so that the machine's own interface is looked at first.
  for (const each of arches.toReversed()) next = emitArch(program, seccomp, each, next)
  program.load(kOffsetArch)
  return program.encode()
}

/** Says what a filter decides for each system call number of an interface: ascending ranges, the first from 0. */
export function syscallRanges(seccomp: RuntimeSeccomp, arch: SeccompArch): SyscallRange[] {
  const decisions = decisionsByNumber(seccomp, arch)
  const defaultValue = actionValue(seccomp.defaultAction, seccomp.defaultErrnoRet)
  const unknown = plain(letsThrough(seccomp.defaultAction) ? defaultValue : kRetNosys)
  const known = [...seccompArchInfo(arch).numbers.values()].sort((a, b) => a - b)

  const ranges: SyscallRange[] = []
  const add = (start: number, decision: SyscallDecision): void => {
    const last = ranges.at(-1)
    if (last === undefined || !sameDecision(last.decision, decision)) ranges.push({ start, decision })
  }
  let expected = 0
  for (const number of known) {
    if (number > expected) add(expected, unknown)
    add(number, decisions.get(number) ?? plain(defaultValue))
    expected = number + 1
  }
  add(expected, unknown)
  return ranges
}

/** Converts an action of config.json to a SECCOMP_RET_… value. */
export function actionValue(action: SeccompAction, errnoRet: number | undefined): number {
  const data = errnoRet ?? kErrnoPerm
  // The kernel cuts a higher number down to 4095 without a word.
  if (!Number.isInteger(data) || data < 0 || data > 4095) {
    throw new InvalidOptionError('seccomp.errnoRet', 'an errno from 0 to 4095', data)
  }
  switch (action) {
    case 'SCMP_ACT_KILL':
    case 'SCMP_ACT_KILL_THREAD':
      return 0
    case 'SCMP_ACT_KILL_PROCESS':
      return kRetKillProcess
    case 'SCMP_ACT_TRAP':
      return 0x00030000
    case 'SCMP_ACT_ERRNO':
      return kRetErrno | data
    case 'SCMP_ACT_TRACE':
      return 0x7ff00000 | data
    case 'SCMP_ACT_LOG':
      return 0x7ffc0000
    case 'SCMP_ACT_ALLOW':
      return 0x7fff0000
    default:
      throw new InvalidOptionError(
        'seccomp.action',
        'a seccomp action without a listener, such as SCMP_ACT_ERRNO',
        action,
      )
  }
}

function emitArch(
  program: BackwardProgram,
  seccomp: RuntimeSeccomp,
  arch: SeccompArch,
  otherwise: BpfPosition,
): BpfPosition {
  const tree = emitTree(program, syscallRanges(seccomp, arch), new Map())
  if (arch === 'x64') program.branch(kBpf.jumpGreaterOrEqual, kX32Bit, program.return(kRetNosys), tree)
  // The load falls through to what is first, which a tree of one shared leaf is not.
  else program.goto(tree)
  const number = program.load(kOffsetNumber)
  return program.branch(kBpf.jumpEqual, seccompArchInfo(arch).audit, number, otherwise)
}

/** Adds a balanced binary search over the ranges; the accumulator holds the system call number. */
function emitTree(
  program: BackwardProgram,
  ranges: readonly SyscallRange[],
  leaves: Map<SyscallDecision, BpfPosition>,
): BpfPosition {
  const [only] = ranges
  if (ranges.length === 1 && only !== undefined) return emitDecision(program, only.decision, leaves)
  const middle = ranges.length >> 1
  const right = ranges.slice(middle)
  const below = emitTree(program, ranges.slice(0, middle), leaves)
  const above = emitTree(program, right, leaves)
  return program.branch(kBpf.jumpGreaterOrEqual, right[0]?.start ?? 0, above, below)
}

function emitDecision(
  program: BackwardProgram,
  decision: SyscallDecision,
  leaves: Map<SyscallDecision, BpfPosition>,
): BpfPosition {
  if (decision.rules.length === 0) return program.return(decision.fallback)
  const known = leaves.get(decision)
  if (known !== undefined) return known
  let next = program.return(decision.fallback)
  for (const rule of decision.rules.toReversed()) {
    let position = program.return(rule.value)
    for (const condition of rule.conditions.toReversed()) position = emitCondition(program, condition, position, next)
    next = position
  }
  leaves.set(decision, next)
  return next
}

function decisionsByNumber(seccomp: RuntimeSeccomp, arch: SeccompArch): Map<number, SyscallDecision> {
  const { numbers } = seccompArchInfo(arch)
  const conditional = new Map<number, SyscallDecision['rules'][number][]>()
  const fallbacks = new Map<number, number>()
  for (const rule of seccomp.syscalls ?? []) {
    const value = actionValue(rule.action, rule.errnoRet)
    const alternatives = conditionAlternatives(rule.args ?? [])
    for (const name of rule.names) {
      const number = numbers.get(name)
      if (number === undefined) continue
      if (alternatives.length === 0) {
        if (!fallbacks.has(number)) fallbacks.set(number, value)
        continue
      }
      const rules = conditional.get(number) ?? []
      for (const conditions of alternatives) rules.push({ conditions, value })
      conditional.set(number, rules)
    }
  }
  const defaultValue = actionValue(seccomp.defaultAction, seccomp.defaultErrnoRet)
  const decisions = new Map<number, SyscallDecision>()
  for (const [number, value] of fallbacks) decisions.set(number, plain(value))
  for (const [number, rules] of conditional) {
    decisions.set(number, { rules, fallback: fallbacks.get(number) ?? defaultValue })
  }
  return decisions
}

/** Turns the conditions of a rule into alternatives, each a list that must hold as a whole. */
function conditionAlternatives(args: readonly SeccompArg[]): SeccompCondition64[][] {
  if (args.length === 0) return []
  const conditions = args.map(toCondition)
  const repeats = new Set(conditions.map((each) => each.index)).size < conditions.length
  return repeats ? conditions.map((each) => [each]) : [conditions]
}

function toCondition(arg: SeccompArg): SeccompCondition64 {
  if (!Number.isInteger(arg.index) || arg.index < 0 || arg.index > 5) {
    throw new InvalidOptionError('seccomp.args.index', 'an argument index from 0 to 5', arg.index)
  }
  return { index: arg.index, op: arg.op, value: toWord(arg.value), valueTwo: toWord(arg.valueTwo ?? 0) }
}

function toWord(value: number): bigint {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new InvalidOptionError('seccomp.args.value', 'an integer from 0 to 2^53 - 1', value)
  }
  return BigInt(value)
}

/** Actions with which a system call happens after all, or may: a tracer can answer ENOSYS by itself. */
function letsThrough(action: SeccompAction): boolean {
  return action === 'SCMP_ACT_ALLOW' || action === 'SCMP_ACT_LOG' || action === 'SCMP_ACT_TRACE'
}

function plain(value: number): SyscallDecision {
  return { rules: [], fallback: value }
}

function sameDecision(a: SyscallDecision, b: SyscallDecision): boolean {
  return a === b || (a.rules.length === 0 && b.rules.length === 0 && a.fallback === b.fallback)
}
