// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { InvalidOptionError } from '../../../lib/errors.ts'
import { compileSeccomp } from '../../../lib/oci/seccomp/compile-seccomp.ts'
import { defaultSeccompProfile, selectSeccomp } from '../../../lib/oci/seccomp-profile.ts'
import { normalizeSeccomp } from '../../../lib/options/seccomp-options.ts'
import { needs } from '../../helpers/needs.ts'
import { sharedDataPath } from '../../helpers/package-root.ts'

const kSubject = { arch: 'x64', capabilities: [], kernel: '6.1' } as const

test('words and profiles are taken as they are', () => {
  assert.equal(normalizeSeccomp(undefined), 'default')
  assert.equal(normalizeSeccomp('unconfined'), 'unconfined')
  const profile = defaultSeccompProfile()
  assert.equal(normalizeSeccomp(profile), profile)
})

test("Docker's own profile is taken", (t) => {
  if (!needs(t, 'data:seccomp-docker-default.json')) return
  const profile: unknown = JSON.parse(readFileSync(sharedDataPath('seccomp-docker-default.json'), 'utf8'))
  assert.equal(normalizeSeccomp(profile), profile)
})

test('rules of the wrong shape are refused, and named', () => {
  const rule = { names: ['read'], action: 'SCMP_ACT_ALLOW' }
  const refused: [object, string][] = [
    [{ names: 'read' }, 'names'],
    [{ names: undefined }, 'name'],
    [{ action: 'SCMP_ACT_NOTIFY' }, 'action'],
    [{ errnoRet: 5000 }, 'errnoRet'],
    [{ args: {} }, 'args'],
    [{ args: [{ index: 6, value: 0, op: 'SCMP_CMP_EQ' }] }, 'args[0].index'],
    [{ args: [{ index: 0, op: 'SCMP_CMP_EQ' }] }, 'args[0].value'],
    [{ args: [{ index: 0, value: 2 ** 64, op: 'SCMP_CMP_EQ' }] }, 'args[0].value'],
    [{ args: [{ index: 0, value: 0, op: '==' }] }, 'args[0].op'],
    [{ includes: { caps: 'CAP_BPF' } }, 'includes.caps'],
  ]
  for (const [changes, option] of refused) {
    const profile = { defaultAction: 'SCMP_ACT_ERRNO', syscalls: [rule, { ...rule, ...changes }] }
    assert.throws(() => normalizeSeccomp(profile), {
      name: 'InvalidOptionError',
      option: `seccomp.syscalls[1].${option}`,
    })
  }
})

test('what is taken also compiles', () => {
  const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<unknown> => fc.oneof(value, value, value, fc.anything())
  const arg = fc.record(
    {
      index: maybe(fc.nat(5)),
      value: maybe(fc.maxSafeNat()),
      op: maybe(fc.constantFrom('SCMP_CMP_EQ', 'SCMP_CMP_LT')),
    },
    { requiredKeys: [] },
  )
  const rule = fc.record(
    {
      names: fc.constant(['read']),
      action: maybe(fc.constant('SCMP_ACT_ALLOW')),
      args: maybe(fc.array(arg, { maxLength: 2 })),
    },
    { requiredKeys: [] },
  )
  const profiles = fc.record({
    defaultAction: fc.constant('SCMP_ACT_ERRNO'),
    syscalls: maybe(fc.array(rule, { maxLength: 2 })),
  })
  void fc.assert(
    fc.property(profiles, (given) => {
      try {
        const profile = normalizeSeccomp(given)
        if (typeof profile === 'object') compileSeccomp(selectSeccomp(profile, kSubject), 'x64')
      } catch (error) {
        assert.ok(error instanceof InvalidOptionError, inspect(error))
      }
    }),
    { numRuns: 300 },
  )
})
