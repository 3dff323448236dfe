// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import * as fc from 'fast-check'
import type { RuntimeSeccomp, SeccompAction, SeccompArg, SeccompOperator } from '../../../lib/oci/runtime-spec.ts'
import { actionValue, compileSeccomp } from '../../../lib/oci/seccomp/compile-seccomp.ts'
import { seccompArchInfo } from '../../../lib/oci/seccomp/syscall-table.ts'
import { defaultSeccompProfile, selectSeccomp } from '../../../lib/oci/seccomp-profile.ts'
import { needs } from '../../helpers/needs.ts'
import { runBpf } from './bpf-interpreter.ts'
import { withCProgram } from './c-program.ts'

/** Builds a filter from lines `action name count {index op value valueTwo}` and writes it as BPF. Unknown names go to stderr. */
const kOracle = `
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
  uint32_t fallback = strtoul(argv[2], NULL, 10), action;
  scmp_filter_ctx ctx = seccomp_init(fallback);
  uint32_t arch = strcmp(argv[1], "x64") == 0 ? SCMP_ARCH_X86_64 : SCMP_ARCH_AARCH64;
  if (argc != 3 || ctx == NULL) return 2;
  if (seccomp_arch_native() != arch && (seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE) || seccomp_arch_add(ctx, arch))) return 3;
  char name[64];
  unsigned count;
  while (scanf("%" SCNu32 " %63s %u", &action, name, &count) == 3) {
    struct scmp_arg_cmp args[6];
    for (unsigned i = 0; i < count; i++) {
      unsigned op;
      if (scanf("%u %u %" SCNu64 " %" SCNu64, &args[i].arg, &op, &args[i].datum_a, &args[i].datum_b) != 4) return 4;
      args[i].op = op;
    }
    int nr = seccomp_syscall_resolve_name(name);
    if (nr == __NR_SCMP_ERROR) { fprintf(stderr, "%s\\n", name); continue; }
    if (action == fallback) continue;
    if (seccomp_rule_add_array(ctx, action, nr, count, args) != 0) return 5;
  }
  return seccomp_export_bpf(ctx, 1) == 0 ? 0 : 6;
}
`

const kOps: readonly SeccompOperator[] = [
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
]

function withOracle(t: TestContext, use: (path: string) => void): void {
  if (!needs(t, 'command:cc', 'header:seccomp.h')) return
  withCProgram(kOracle, ['-lseccomp'], use)
}

function oracle(
  path: string,
  seccomp: RuntimeSeccomp,
  arch: 'x64' | 'arm64',
): { program: Uint8Array; unknown: Set<string> } {
  const lines = (seccomp.syscalls ?? []).flatMap((rule) =>
    rule.names.map((name) => {
      const args = (rule.args ?? []).map(
        (arg) => `${arg.index} ${kOps.indexOf(arg.op) + 1} ${arg.value} ${arg.valueTwo ?? 0}`,
      )
      return `${actionValue(rule.action, rule.errnoRet)} ${name} ${args.length} ${args.join(' ')}`
    }),
  )
  const fallback = actionValue(seccomp.defaultAction, seccomp.defaultErrnoRet)
  const { status, stdout, stderr } = spawnSync(path, [arch, String(fallback)], { input: lines.join('\n') })
  assert.equal(status, 0, `the oracle ended with ${status} for ${JSON.stringify(seccomp)}`)
  return { program: stdout, unknown: new Set(stderr.toString().split('\n')) }
}

function assertAgrees(
  path: string,
  seccomp: RuntimeSeccomp,
  arch: 'x64' | 'arm64',
  lists: readonly (readonly bigint[])[],
): void {
  const theirs = oracle(path, seccomp, arch)
  const ours = compileSeccomp({ ...seccomp, architectures: [] }, arch)
  const { audit, numbers } = seccompArchInfo(arch)
  for (const [name, nr] of numbers) {
    if (theirs.unknown.has(name)) continue
    for (const args of lists) {
      const data = { nr, arch: audit, args }
      const [mine, other] = [runBpf(ours, data).value, runLibseccomp(theirs.program, data)]
      if (mine !== other)
        assert.fail(`${arch} ${name}(${args}): ${mine.toString(16)}, libseccomp ${other.toString(16)}`)
    }
  }
}

function runLibseccomp(program: Uint8Array, data: Parameters<typeof runBpf>[1]): number {
  return runBpf(program, data).value
}

const kSamples: readonly bigint[][] = [
  0n,
  1n,
  8n,
  38n,
  39n,
  40n,
  41n,
  0x20008n,
  0xffffffffn,
  0x10000000n,
  2n ** 40n,
].map((first) => [first, 0n, 0n, 0n, 0n, 0n])

test('libseccomp makes the same decisions from the default profile', (t) => {
  withOracle(t, (path) => {
    for (const arch of ['x64', 'arm64'] as const) {
      for (const capabilities of [[], ['CAP_SYS_ADMIN', 'CAP_SYS_TIME']]) {
        assertAgrees(
          path,
          selectSeccomp(defaultSeccompProfile(), { arch, capabilities, kernel: '6.1' }),
          arch,
          kSamples,
        )
      }
    }
  })
})

const kEdges = [0, 1, 2, 0xffffffff, 0x100000000, 0x100000001, 2 ** 53 - 1]
const word = fc.oneof(fc.constantFrom(...kEdges), fc.maxSafeNat())
const condition: fc.Arbitrary<SeccompArg> = fc.record({
  index: fc.nat({ max: 5 }),
  value: word,
  valueTwo: word,
  op: fc.constantFrom(...kOps),
})
const conditions = fc.uniqueArray(condition, { minLength: 1, maxLength: 2, selector: ({ index }) => index })
const equals = fc.array(
  word.map((value): SeccompArg[] => [{ index: 0, value, op: 'SCMP_CMP_EQ' }]),
  { minLength: 2, maxLength: 5 },
)
/**
 * One system call with one action, and either one list of conditions or several equalities. Given `arg1 >= 1` or
 * `arg2 <= 0 and arg1 <= 0`, libseccomp 2.5 lets (0, 0, 2) through: where it joins rules that overlap, it is no oracle.
 */
const call = (name: string): fc.Arbitrary<NonNullable<RuntimeSeccomp['syscalls']>> =>
  fc
    .tuple(
      fc.constantFrom<SeccompAction>('SCMP_ACT_ALLOW', 'SCMP_ACT_TRAP', 'SCMP_ACT_LOG'),
      fc.oneof(
        fc.constant([]),
        conditions.map((each) => [each]),
        equals,
      ),
    )
    .map(([action, alternatives]) =>
      alternatives.length === 0
        ? [{ names: [name], action }]
        : alternatives.map((args) => ({ names: [name], action, args })),
    )
const argument = fc.oneof(
  fc.constantFrom(...kEdges.flatMap((edge) => [BigInt(edge), BigInt(edge) + 1n])),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
)

test('libseccomp makes the same decisions from any profile', (t) => {
  withOracle(t, (path) => {
    const filters = fc
      .tuple(...['read', 'write', 'openat', 'close', 'clone'].map(call))
      .map((calls): RuntimeSeccomp => ({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: calls.flat() }))
    const lists = fc.array(fc.array(argument, { minLength: 6, maxLength: 6 }), { minLength: 4, maxLength: 12 })
    void fc.assert(
      fc.property(filters, lists, fc.constantFrom('x64', 'arm64'), (seccomp, samples, arch) => {
        assertAgrees(path, seccomp, arch, samples)
      }),
      { numRuns: 80, endOnFailure: true },
    )
  })
})
