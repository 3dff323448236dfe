// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { capabilityMask } from '../../../lib/oci/capabilities.ts'
import type { OpName, Step } from '../../../lib/plan/ops.ts'
import { buildPreparePlan } from '../../../lib/plan/prepare-plan.ts'
import { kSlot } from '../../../lib/plan/slots.ts'
import { buildStartPlan } from '../../../lib/plan/start-plan.ts'
import { assertPure, containerOptions, normalized, opsOf, prepareInput, specOf, startInput } from './inputs.ts'

function build(...args: Parameters<typeof startInput>): Step[] {
  return buildStartPlan(startInput(...args))
}

test('property: pure, and what it makes passes the native check', () => {
  fc.assert(fc.property(containerOptions, (options) => assertPure((spec) => build(spec), specOf(normalized(options)))))
})

test('property: the order that security rests on', () => {
  fc.assert(
    fc.property(containerOptions, (options) => {
      const spec = specOf(normalized(options))
      const ops = opsOf(build(spec))
      const before = (first: OpName, second: OpName): void => {
        assert.ok(ops.includes(first) && ops.includes(second), `${first}, ${second}`)
        assert.ok(ops.lastIndexOf(first) < ops.indexOf(second), `${first} before ${second}`)
      }
      // A working directory that is a descriptor's magic link must not lead out (CVE-2024-21626).
      before('close_others', 'chdir')
      before('stdio', 'close_others')
      before('chdir', 'setresuid')
      before('bounding', 'setresuid')
      before('keepcaps', 'setresuid')
      before('setgroups', 'setresgid')
      before('setresgid', 'setresuid')
      before('setresuid', 'capset')
      before('capset', 'ambient')
      // A change of ids clears it.
      before('setresuid', 'pdeathsig')
      if (spec.process.noNewPrivileges === true) {
        before('setresuid', 'seccomp')
        before('capset', 'seccomp')
        before('no_new_privs', 'seccomp')
      } else {
        before('seccomp', 'setresuid')
        before('seccomp', 'capset')
        assert.ok(!ops.includes('no_new_privs'))
      }
      assert.equal(ops.at(-1), 'exec')
      assert.equal(ops.filter((op) => op === 'exec' || op === 'seccomp').length, 2)
    }),
  )
})

test('without a filter there is no filter step', () => {
  assert.ok(!opsOf(build(specOf(normalized()), { seccomp: undefined })).includes('seccomp'))
})

test('property: no value of the environment is in what a step says about itself', () => {
  const value = fc.stringMatching(/^[a-z0-9]{12}$/).map((text) => `secret-${text}`)
  fc.assert(
    fc.property(fc.dictionary(fc.stringMatching(/^[A-Z]{3,8}$/), value), containerOptions, (env, options) => {
      const spec = specOf(normalized({ ...options, env }))
      for (const { op, intent, strings } of [...buildPreparePlan(prepareInput(spec)), ...build(spec)]) {
        assert.ok(!intent.includes('secret-'), intent)
        if (op === 'exec') continue
        for (const text of strings) assert.ok(!Buffer.from(text as string).includes('secret-'), op)
      }
    }),
  )
})

test('the program, its arguments and its environment', () => {
  const spec = { ...specOf(normalized({ env: { A: '1', PATH: '/opt/bin' } })) }
  spec.process = { ...spec.process, args: ['tool', 'a b', ''] }
  const exec = build(spec).at(-1) as Step
  assert.equal(exec.intent, 'run tool')
  assert.equal(exec.strings[0], 'tool')
  assert.equal(Buffer.from(exec.strings[1] as Uint8Array).toString(), 'tool\0a b\0\0')
  const env = Buffer.from(exec.strings[2] as Uint8Array)
    .toString()
    .split('\0')
  assert.ok(env.includes('A=1') && env.includes('PATH=/opt/bin'))
  assert.equal(exec.strings[3], '/opt/bin')
})

test('standard streams: descriptors, /dev/null, or a terminal', () => {
  const stdio = (steps: Step[]) => steps.filter(({ op }) => op === 'stdio').map(({ integers }) => integers)
  const given = build(specOf(normalized()))
  assert.deepEqual(stdio(given), [
    [32, 0],
    [33, 1],
    [34, 2],
  ])
  assert.ok(!opsOf(given).includes('open'))
  const none = build(specOf(normalized()), { stdio: [-1, 33, 34] })
  assert.deepEqual(none.find(({ op }) => op === 'open')?.strings, ['null'])
  assert.deepEqual(stdio(none)[0], [kSlot.scratch, 0])
  const terminal = build(specOf(normalized({ tty: true })), { stdio: [-1, -1, -1] })
  const ops = opsOf(terminal)
  assert.ok(ops.indexOf('open_pty') < ops.indexOf('stdio') && ops.indexOf('stdio') < ops.indexOf('controlling_tty'))
})

test('capabilities go to the kernel as masks', () => {
  const steps = build(specOf(normalized({ capabilities: { drop: ['ALL'], add: ['NET_RAW', 'KILL'] } })))
  const mask = capabilityMask(['CAP_NET_RAW', 'CAP_KILL'])
  assert.deepEqual(steps.find(({ op }) => op === 'bounding')?.integers, [mask])
  assert.deepEqual(steps.find(({ op }) => op === 'capset')?.integers, [mask, mask, 0n])
  assert.deepEqual(steps.find(({ op }) => op === 'ambient')?.integers, [0n])
})

test('limits, by number; unlimited is -1', () => {
  const steps = build(specOf(normalized({ ulimits: { nofile: { soft: 10, hard: -1 }, core: 0 } })))
  assert.deepEqual(
    steps.filter(({ op }) => op === 'rlimit').map(({ integers }) => integers),
    [
      [4, 0, 0],
      [7, 10, -1],
    ],
  )
})

test('a read-only root is made so after everything is mounted on it', () => {
  const mounts = [{ type: 'tmpfs' as const, target: '/scratch' }]
  const ops = opsOf(build(specOf(normalized({ readOnly: true, mounts, maskedPaths: ['/etc/x'] }))))
  assert.ok(ops.indexOf('mount_setattr') > Math.max(ops.lastIndexOf('fsmount'), ops.lastIndexOf('mask_path')))
  assert.ok(!opsOf(build(specOf(normalized()))).includes('mount_setattr'))
})

test('bind mounts come from their slots, or were made by the first plan', () => {
  const spec = specOf(normalized({ mounts: [{ type: 'bind', source: '/a', target: '/b' }] }))
  const bindSlots = new Map([['/b', { slot: 40, directory: true }]])
  const move = build(spec, { bindSlots }).find(({ op }) => op === 'move_mount') as Step
  assert.deepEqual([move.integers, move.strings], [[40, kSlot.root, 1], ['/b']])
  assert.ok(!opsOf(build(spec, { bindsAhead: true })).includes('move_mount'))
  const ahead = buildPreparePlan(prepareInput(spec, { bindsAhead: true }))
  const bind = ahead.find(({ op }) => op === 'bind') as Step
  assert.deepEqual(bind.strings, ['a', '/b'])
})

test('masked paths outside of /proc and /sys wait for the second plan', () => {
  const masked = (steps: Step[]) => steps.filter(({ op }) => op === 'mask_path').map(({ strings }) => strings[0])
  assert.deepEqual(masked(build(specOf(normalized({ maskedPaths: ['/etc/shadow', '/proc/kcore'] })))), ['/etc/shadow'])
})

test('a first process only when asked for', () => {
  assert.ok(opsOf(build(specOf(normalized({ init: true })))).includes('init'))
  assert.ok(!opsOf(build(specOf(normalized()))).includes('init'))
})
