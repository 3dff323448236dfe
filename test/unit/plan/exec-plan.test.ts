// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { RuntimeSpec } from '../../../lib/oci/runtime-spec.ts'
import { buildExecPlan, type ExecInput, type SharedExecInput, sharedExecSteps } from '../../../lib/plan/exec-plan.ts'
import type { OpName, Step } from '../../../lib/plan/ops.ts'
import { kSlot } from '../../../lib/plan/slots.ts'
import { assertPure, containerOptions, normalized, opsOf, specOf } from './inputs.ts'

const kPidfd = 0
const kNewCgroup = 0x2000000

function build(spec: RuntimeSpec, changes: Partial<SharedExecInput & ExecInput> = {}): Step[] {
  const input: SharedExecInput & ExecInput = {
    spec,
    pidfdSlot: kPidfd,
    cgroupDirectory: '/sys/fs/cgroup/unified/wherry/x/exec-1',
    cgroupTasks: [],
    hasUnifiedCgroup: true,
    stdio: [-1, 1, 2],
    detached: false,
    terminal: { rows: 40, columns: 100 },
    setsGroups: true,
    seccomp: new Uint8Array([1, 2, 3]),
    ...changes,
  }
  return buildExecPlan(input, sharedExecSteps({ ...input, cgroupTasks: ['/sys/fs/cgroup/memory/wherry/x/tasks'] }))
}

test('property: pure, and what it makes passes the native check', () => {
  fc.assert(fc.property(containerOptions, (options) => assertPure((spec) => build(spec), specOf(normalized(options)))))
})

test('property: the order that security rests on', () => {
  fc.assert(
    fc.property(containerOptions, (options) => {
      const ops = opsOf(build(specOf(normalized(options))))
      const before = (first: OpName, second: OpName): void => {
        assert.ok(ops.includes(first) && ops.includes(second), `${first}, ${second}`)
        assert.ok(ops.lastIndexOf(first) < ops.indexOf(second), `${first} before ${second}`)
      }
      const entered = ops.indexOf('setns')
      // Paths of the host mean nothing from there on.
      for (const op of ['mkdir', 'cgroup_join', 'oom_score_adj'] as const) {
        assert.ok(ops.lastIndexOf(op) < entered, `${op} before setns`)
      }
      // A process in the container's pid namespace can be looked at from inside.
      assert.deepEqual(ops.slice(entered, entered + 3), ['setns', 'dumpable', 'clone'])
      before('clone', 'stdio')
      assert.ok(ops.lastIndexOf('setns') < ops.indexOf('stdio'))
      assert.ok(ops.indexOf('clone') < ops.lastIndexOf('dumpable'))
      before('dumpable', 'stdio')
      before('stdio', 'close_others')
      // A working directory that is a descriptor's magic link must not lead out (CVE-2024-21626).
      before('close_others', 'chdir')
      before('close_others', 'bounding')
      assert.ok(ops.lastIndexOf('setresuid') < ops.indexOf('capset'))
      assert.ok(ops.lastIndexOf('setresuid') < ops.lastIndexOf('pdeathsig'))
      assert.equal(ops.at(-1), 'exec')
      assert.ok(!ops.includes('await') && !ops.includes('init') && !ops.includes('bind'))
    }),
  )
})

test('the golden plan of a container with its own user namespace', () => {
  const ops = opsOf(build(specOf(normalized())))
  assert.equal(
    ops.join(' '),
    'mkdir open cgroup_join setns dumpable clone setns setgroups setresgid setresuid pdeathsig dumpable setsid ' +
      'session_keyring open stdio stdio stdio umask close_others chdir bounding keepcaps setgroups setresgid setresuid capset ' +
      'ambient pdeathsig no_new_privs seccomp exec',
  )
})

test('all namespaces of the container are entered, the cgroup namespace by the child', () => {
  const flagsOf = (options: Parameters<typeof normalized>[0]): [number, number][] =>
    build(specOf(normalized(options)))
      .filter(({ op }) => op === 'setns')
      .map(({ integers }) => [Number(integers[0]), Number(integers[1])])
  assert.deepEqual(flagsOf({}), [
    [kPidfd, 0x20000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000],
    [kPidfd, kNewCgroup],
  ])
  assert.deepEqual(flagsOf({ network: 'host', userns: 'host' }), [
    [kPidfd, 0x20000 | 0x4000000 | 0x8000000 | 0x20000000],
    [kPidfd, kNewCgroup],
  ])
})

test('the process is born in its own cgroup on a v2 mount, and joins one of the freezer elsewhere', () => {
  const spec = specOf(normalized())
  const cloneOf = (steps: Step[]): Step['integers'] | undefined => steps.find(({ op }) => op === 'clone')?.integers
  assert.deepEqual(cloneOf(build(spec)), [0, kSlot.unifiedCgroup])
  const own = '/sys/fs/cgroup/freezer/wherry/x/exec-1'
  const v1 = build(spec, { hasUnifiedCgroup: false, cgroupDirectory: own, cgroupTasks: [`${own}/tasks`] })
  assert.deepEqual(cloneOf(v1), [0, -1])
  const joined = v1.filter(({ op }) => op === 'cgroup_join').map(({ strings }) => strings[0])
  assert.deepEqual(joined, [`${own}/tasks`, '/sys/fs/cgroup/memory/wherry/x/tasks'])
  const none = build(spec, { hasUnifiedCgroup: false, cgroupDirectory: null })
  assert.deepEqual(cloneOf(none), [0, -1])
  assert.ok(!opsOf(none).includes('mkdir'))
})

test('an ordinary user without a range of ids sets no groups', () => {
  assert.ok(!opsOf(build(specOf(normalized()), { setsGroups: false })).includes('setgroups'))
})

test("a terminal is the container's, and begins with the size that was asked for", () => {
  const steps = build(specOf(normalized({ tty: true })))
  const pty = steps.find(({ op }) => op === 'open_pty')
  assert.deepEqual([pty?.integers, pty?.strings], [[kSlot.scratch, -1, 40, 100], ['/dev/pts/ptmx']])
  assert.ok(opsOf(steps).indexOf('setresuid') < opsOf(steps).indexOf('open_pty'), 'it belongs to root of the container')
})

test('a program that goes on by itself leaves the launcher inside, and then leads a session of its own', () => {
  const ops = opsOf(build(specOf(normalized({})), { detached: true }))
  const at = ops.indexOf('fork')
  // Not before it has the container's process 1 to be a child of, whose death is the one that it may be told of from then on.
  assert.ok(ops.indexOf('clone') < at && ops.indexOf('pdeathsig') < at && at < ops.lastIndexOf('pdeathsig'))
  assert.equal(ops[at + 1], 'setsid')
  assert.ok(!opsOf(build(specOf(normalized({})))).includes('fork'))
})
