// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadNative } from '../../../lib/launcher/native.ts'
import { encodePlan, nulTerminated } from '../../../lib/plan/encode.ts'
import { kOps, type OpName, type Step, step } from '../../../lib/plan/ops.ts'

const native = loadNative()

/** How many integers and strings an operation takes, and which integers are slots: a sample that covers each kind. */
const kSample: readonly (readonly [OpName, integers: number, strings: number])[] = [
  ['await', 0, 0],
  ['umask', 1, 0],
  ['rlimit', 3, 0],
  ['capset', 3, 0],
  ['setgroups', 64, 0],
  ['sethostname', 0, 1],
  ['sysctl', 0, 2],
  ['chdir', 1, 1],
]

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }).map((value) => value.replaceAll('\0', '')),
  fc.uint8Array({ min: 1, maxLength: 40 }),
)

const plainStep: fc.Arbitrary<Step> = fc
  .constantFrom(...kSample)
  .chain(([op, integers, strings]) =>
    fc
      .tuple(
        fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { minLength: integers, maxLength: integers }),
        fc.array(text, { minLength: strings, maxLength: strings }),
      )
      .map(([numbers, texts]) => step(op, '', numbers, texts)),
  )

/** Steps whose strings may hold anything, and whose integers name slots. */
const specialStep: fc.Arbitrary<Step> = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((filter) => step('seccomp', '', [0], [filter])),
  fc.integer({ min: -1, max: 63 }).map((slot) => step('close', '', [slot])),
  fc
    .tuple(fc.integer({ min: -1, max: 63 }), fc.array(text, { minLength: 4, maxLength: 4 }))
    .map(([slot, texts]) => step('overlay', '', [slot, -1, 0, 0], texts)),
)

const plans = fc.array(fc.oneof(plainStep, specialStep), { maxLength: 40 })

test('the names of the operations are the native ones, in the same order', () => {
  assert.deepEqual(native.planOps(), [...kOps])
})

test('property: an encoded plan passes the native check', () => {
  fc.assert(fc.property(plans, (steps) => assert.equal(native.checkPlan(encodePlan(steps)), undefined)))
})

test('property: equal steps give equal bytes', () => {
  fc.assert(fc.property(plans, (steps) => assert.deepEqual(encodePlan(steps), encodePlan(structuredClone(steps)))))
})

test('property: a plan cut short, or with bytes after it, is refused', () => {
  fc.assert(
    fc.property(plans, fc.nat(), (steps, cut) => {
      const bytes = encodePlan(steps)
      assert.notEqual(native.checkPlan(bytes.subarray(0, cut % bytes.length)), undefined)
      assert.notEqual(native.checkPlan(Buffer.concat([bytes, Buffer.alloc(8)])), undefined)
    }),
  )
})

test('every flipped bit of what holds a plan together is refused', () => {
  const bytes = encodePlan([step('sysctl', '', [], ['kernel/msgmax', '1']), step('umask', '', [0o22])])
  // Of the header all but the reserved bytes; of each step its counts, its size, and the lengths of its strings.
  const header = [...Array(12).keys()]
  const firstStep = [18, 19, 20, 21, 22, 23, 24, 25, 26, 27]
  for (const at of [...header, ...firstStep]) {
    for (let bit = 0; bit < 8; bit++) {
      const changed = Uint8Array.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ (1 << bit)
      assert.notEqual(native.checkPlan(changed), undefined, `byte ${at}, bit ${bit}`)
    }
  }
})

test('property: the check survives any flipped bit', () => {
  fc.assert(
    fc.property(plans, fc.nat(), fc.nat(7), (steps, at, bit) => {
      const bytes = encodePlan(steps)
      bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << bit)
      const answer = native.checkPlan(bytes)
      assert.ok(answer === undefined || answer.length > 0)
    }),
  )
})

test('what the launcher must not see is refused, with a reason', () => {
  const reasons: [Step, RegExp][] = [
    [step('sethostname', '', [], ['a\0b']), /string/],
    [step('close', '', [64]), /slot/],
    [step('close', '', [-2]), /slot/],
    [step('umask', ''), /number of arguments/],
    [step('await', '', [1]), /number of arguments/],
    [step('nonsense' as OpName, ''), /unknown operation/],
  ]
  for (const [wrong, reason] of reasons) assert.match(native.checkPlan(encodePlan([wrong])) ?? '', reason)
  assert.match(native.checkPlan(new Uint8Array(0)) ?? '', /size/)
})

test('strings that exec gets end with NUL, each', () => {
  assert.deepEqual(Buffer.from(nulTerminated(['a', '', 'ü'])), Buffer.from('a\0\0ü\0'))
  assert.equal(nulTerminated([]).length, 0)
})
