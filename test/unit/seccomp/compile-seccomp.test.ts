// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { InvalidOptionError, WherryError } from '../../../lib/errors.ts'
import type { RuntimeSeccomp, SeccompAction, SeccompArg, SeccompOperator } from '../../../lib/oci/runtime-spec.ts'
import { compileSeccomp } from '../../../lib/oci/seccomp/compile-seccomp.ts'
import { type SeccompArch, seccompArchInfo } from '../../../lib/oci/seccomp/syscall-table.ts'
import { defaultSeccompProfile, selectSeccomp } from '../../../lib/oci/seccomp-profile.ts'
import { runBpf } from './bpf-interpreter.ts'
import { evaluateNaively } from './naive-evaluator.ts'

const kArches = ['x64', 'arm64'] as const
const kAllNumbers = [...Array(520).keys(), 0x3fffffff, 0x40000000, 0x40000001, 0x7fffffff, 0xffffffff]
const kSampleArgs: readonly bigint[][] = [
  [0n, 0n, 0n, 0n, 0n, 0n],
  [8n, 0n, 0n, 0n, 0n, 0n],
  [38n, 1n, 0n, 0n, 0n, 0n],
  [39n, 1n, 0n, 0n, 0n, 0n],
  [40n, 1n, 0n, 0n, 0n, 0n],
  [41n, 1n, 0n, 0n, 0n, 0n],
  [0xffffffffn, 0n, 0n, 0n, 0n, 0n],
  [0x1_0000_0000n, 0n, 0n, 0n, 0n, 0n],
  [0x10000000n, 0n, 0n, 0n, 0n, 0n],
  [0x3d0f00n, 0n, 0n, 0n, 0n, 0n],
  [0xffff_ffff_ffff_ffffn, 1n, 2n, 3n, 4n, 5n],
]

function assertSame(
  seccomp: RuntimeSeccomp,
  arch: 'x64' | 'arm64',
  subArch: SeccompArch,
  args: readonly bigint[][],
): void {
  const program = compileSeccomp(seccomp, arch)
  const { audit } = seccompArchInfo(subArch)
  for (const nr of kAllNumbers) {
    for (const each of args) {
      const { value } = runBpf(program, { nr, arch: audit, args: each })
      const expected = evaluateNaively(seccomp, subArch, nr, each)
      if (value !== expected)
        assert.fail(`${subArch} ${nr}(${each}): ${value.toString(16)}, not ${expected.toString(16)}`)
    }
  }
}

for (const arch of kArches) {
  for (const capabilities of [[], ['CAP_SYS_ADMIN'], ['CAP_SYS_PTRACE', 'CAP_SYS_NICE', 'CAP_SYSLOG']]) {
    test(`default profile, ${arch}, with ${capabilities.join(' ') || 'no capability'}: as evaluated rule by rule`, () => {
      const seccomp = selectSeccomp(defaultSeccompProfile(true), { arch, capabilities, kernel: '6.1.0' })
      assertSame(seccomp, arch, arch, kSampleArgs)
      if (arch === 'x64') assertSame(seccomp, arch, 'x86', kSampleArgs)
    })
  }

  test(`default profile, ${arch}: short, and few comparisons for any call without arguments to look at`, () => {
    const seccomp = selectSeccomp(defaultSeccompProfile(), { arch, capabilities: [], kernel: '6.1.0' })
    const program = compileSeccomp(seccomp, arch)
    assert.ok(program.length / 8 < 150, `${program.length / 8} instructions`)
    const { audit, numbers } = seccompArchInfo(arch)
    const looksAtArgs = new Set(['clone', 'socket', 'personality'])
    const branches = [...numbers].flatMap(([name, nr]) =>
      looksAtArgs.has(name) ? [] : [runBpf(program, { nr, arch: audit, args: [] }).branches],
    )
    assert.ok(Math.max(...branches) <= 10, `${Math.max(...branches)} comparisons`)
  })

  test(`${arch}: another architecture kills the process`, () => {
    const program = compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW' }, arch)
    for (const foreign of [0x40000003, 0x40000028, 0, 0xffffffff]) {
      assert.equal(runBpf(program, { nr: 0, arch: foreign, args: [] }).value, 0x80000000)
    }
    assert.equal(runBpf(program, { nr: 0, arch: seccompArchInfo(arch).audit, args: [] }).value, 0x7fff0000)
  })
}

const kNames = [
  'read',
  'write',
  'close',
  'socket',
  'clone',
  'personality',
  'statx',
  'mseal',
  'open',
  'nosuchcall',
  'brk',
]
const action = fc.constantFrom<SeccompAction>(
  'SCMP_ACT_ALLOW',
  'SCMP_ACT_ERRNO',
  'SCMP_ACT_KILL_PROCESS',
  'SCMP_ACT_KILL_THREAD',
  'SCMP_ACT_TRAP',
  'SCMP_ACT_LOG',
  'SCMP_ACT_TRACE',
)
const operator = fc.constantFrom<SeccompOperator>(
  'SCMP_CMP_EQ',
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_GT',
  'SCMP_CMP_GE',
  'SCMP_CMP_MASKED_EQ',
)
const kEdges = [0, 1, 2, 7, 0xffffffff, 0x100000000, 0x100000001, 0x1_ffff_ffff, 2 ** 53 - 1]
const word = fc.oneof(fc.constantFrom(...kEdges), fc.maxSafeNat())
const condition: fc.Arbitrary<SeccompArg> = fc.record({
  index: fc.nat({ max: 5 }),
  value: word,
  valueTwo: word,
  op: operator,
})
const rule = fc.record(
  {
    names: fc.uniqueArray(fc.constantFrom(...kNames), { minLength: 1, maxLength: 4 }),
    action,
    errnoRet: fc.nat({ max: 4095 }),
    args: fc.array(condition, { maxLength: 3 }),
  },
  { requiredKeys: ['names', 'action'] },
)
const filter: fc.Arbitrary<RuntimeSeccomp> = fc.record({
  defaultAction: action,
  defaultErrnoRet: fc.nat({ max: 4095 }),
  architectures: fc.constantFrom(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'], []),
  syscalls: fc.array(rule, { maxLength: 20 }),
})
const argument = fc.oneof(
  fc.constantFrom(...kEdges.flatMap((edge) => [BigInt(edge), BigInt(edge) + 1n])),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
)
const argumentLists = fc.array(fc.array(argument, { minLength: 6, maxLength: 6 }), { minLength: 1, maxLength: 4 })

test('any filter: compiled and evaluated rule by rule are the same', () => {
  void fc.assert(
    fc.property(filter, fc.constantFrom(...kArches), argumentLists, (seccomp, arch, lists) => {
      assertSame(seccomp, arch, arch, lists)
    }),
    { numRuns: 60, endOnFailure: true },
  )
})

test('targets further than 255 instructions away are reached', () => {
  const names = [...seccompArchInfo('x64').numbers.keys()].filter((_, index) => index % 3 === 0)
  const syscalls = names.map((name, index) => ({
    names: [name],
    action: 'SCMP_ACT_ALLOW' as const,
    args: [
      { index: index % 6, value: index, op: 'SCMP_CMP_EQ' as const },
      { index: (index + 1) % 6, value: 2 ** 40 + index, op: 'SCMP_CMP_GT' as const },
    ],
  }))
  const seccomp: RuntimeSeccomp = { defaultAction: 'SCMP_ACT_ERRNO', syscalls }
  assert.ok(compileSeccomp(seccomp, 'x64').length / 8 > 1000)
  const lists = [0, 30, 60, 90, 126].flatMap((index) => {
    const list = [0n, 0n, 0n, 0n, 0n, 0n]
    list[index % 6] = BigInt(index)
    list[(index + 1) % 6] = 2n ** 41n
    return [list, list.map((value) => value + 1n)]
  })
  assertSame(seccomp, 'x64', 'x64', lists)
})

test('a filter that is too long for the kernel is refused', () => {
  const args: SeccompArg[] = [{ index: 0, value: 2 ** 40, op: 'SCMP_CMP_EQ' }]
  const syscalls = Array.from({ length: 1100 }, (_, value) => ({
    names: ['read'],
    action: 'SCMP_ACT_ALLOW' as const,
    args: args.map((arg) => ({ ...arg, value: arg.value + value })),
  }))
  assert.throws(
    () => compileSeccomp({ defaultAction: 'SCMP_ACT_ERRNO', syscalls }, 'x64'),
    (error) => error instanceof WherryError && error.code === 'ERR_SECCOMP_TOO_LONG',
  )
})

test('actions, indexes and values that the kernel does not have are refused', () => {
  const compile = (changes: Partial<RuntimeSeccomp['syscalls'] & object>[number] | object): void => {
    const syscalls = [{ names: ['read'], action: 'SCMP_ACT_ALLOW' as const, ...changes }]
    compileSeccomp({ defaultAction: 'SCMP_ACT_ERRNO', syscalls }, 'x64')
  }
  for (const changes of [
    { action: 'SCMP_ACT_NOTIFY' },
    { action: 'SCMP_ACT_ERRNO', errnoRet: 5000 },
    { args: [{ index: 6, value: 0, op: 'SCMP_CMP_EQ' }] },
    { args: [{ index: 0, value: -1, op: 'SCMP_CMP_EQ' }] },
    { args: [{ index: 0, value: 2 ** 53, op: 'SCMP_CMP_EQ' }] },
    { args: [{ index: 0, value: 0, op: 'SCMP_CMP_LIKE' }] },
  ]) {
    assert.throws(() => compile(changes), InvalidOptionError, JSON.stringify(changes))
  }
})

test('an empty filter answers its default, and ENOSYS where it knows no such call', () => {
  const program = compileSeccomp({ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 13 }, 'arm64')
  const { audit } = seccompArchInfo('arm64')
  assert.equal(runBpf(program, { nr: 63, arch: audit, args: [] }).value, 0x0005000d)
  assert.equal(runBpf(program, { nr: 511, arch: audit, args: [] }).value, 0x00050026)
})
