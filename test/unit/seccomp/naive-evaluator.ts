// SPDX-License-Identifier: MIT
import type { RuntimeSeccomp, SeccompArg } from '../../../lib/oci/runtime-spec.ts'
import { actionValue } from '../../../lib/oci/seccomp/compile-seccomp.ts'
import { type SeccompArch, seccompArchInfo } from '../../../lib/oci/seccomp/syscall-table.ts'

const kErrnoNosys = 0x00050026

/** Says what a filter should answer, straight from its rules and without any cleverness. */
export function evaluateNaively(
  seccomp: RuntimeSeccomp,
  arch: SeccompArch,
  nr: number,
  args: readonly bigint[],
): number {
  const name = nameOf(arch, nr)
  const fallback = actionValue(seccomp.defaultAction, seccomp.defaultErrnoRet)
  const passes = ['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'].includes(seccomp.defaultAction)
  if (arch === 'x64' && nr >= 0x40000000) return kErrnoNosys
  if (name === undefined) return passes ? fallback : kErrnoNosys
  const rules = (seccomp.syscalls ?? []).filter((rule) => rule.names.includes(name))
  const specific = rules.find((rule) => (rule.args ?? []).length > 0 && holds(rule.args ?? [], args))
  const rule = specific ?? rules.find((each) => (each.args ?? []).length === 0)
  return rule === undefined ? fallback : actionValue(rule.action, rule.errnoRet)
}

function holds(conditions: readonly SeccompArg[], args: readonly bigint[]): boolean {
  const repeated = new Set(conditions.map(({ index }) => index)).size < conditions.length
  const one = (condition: SeccompArg): boolean => compare(condition, BigInt.asUintN(64, args[condition.index] ?? 0n))
  return repeated ? conditions.some(one) : conditions.every(one)
}

function compare({ op, value, valueTwo = 0 }: SeccompArg, arg: bigint): boolean {
  const wanted = BigInt(value)
  switch (op) {
    case 'SCMP_CMP_EQ':
      return arg === wanted
    case 'SCMP_CMP_NE':
      return arg !== wanted
    case 'SCMP_CMP_LT':
      return arg < wanted
    case 'SCMP_CMP_LE':
      return arg <= wanted
    case 'SCMP_CMP_GT':
      return arg > wanted
    case 'SCMP_CMP_GE':
      return arg >= wanted
    case 'SCMP_CMP_MASKED_EQ':
      return (arg & wanted) === (BigInt(valueTwo) & wanted)
  }
}

function nameOf(arch: SeccompArch, nr: number): string | undefined {
  let names = namesByNumber.get(arch)
  if (names === undefined) {
    names = new Map([...seccompArchInfo(arch).numbers].map(([name, number]) => [number, name]))
    namesByNumber.set(arch, names)
  }
  return names.get(nr)
}

const namesByNumber = new Map<SeccompArch, Map<number, string>>()
