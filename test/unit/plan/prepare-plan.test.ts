// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadNative } from '../../../lib/launcher/native.ts'
import { encodePlan, nulTerminated } from '../../../lib/plan/encode.ts'
import { kMountFlag } from '../../../lib/plan/mount-words.ts'
import type { OpName, Step } from '../../../lib/plan/ops.ts'
import { buildPreparePlan, isStandardMount } from '../../../lib/plan/prepare-plan.ts'
import { kSlot } from '../../../lib/plan/slots.ts'
import { assertPure, containerOptions, normalized, opsOf, prepareInput, specOf } from './inputs.ts'

function build(...args: Parameters<typeof prepareInput>): Step[] {
  return buildPreparePlan(prepareInput(...args))
}

function findStep(steps: readonly Step[], op: OpName, text?: string): Step | undefined {
  return steps.find((each) => each.op === op && (text === undefined || each.strings.includes(text)))
}

test('property: pure, and what it makes passes the native check', () => {
  fc.assert(
    fc.property(containerOptions, fc.boolean(), (options, bindsAhead) =>
      assertPure((spec) => build(spec, { bindsAhead }), specOf(normalized(options))),
    ),
  )
})

test('property: the order that isolation rests on', () => {
  fc.assert(
    fc.property(containerOptions, (options) => {
      const spec = specOf(normalized(options))
      const ops = opsOf(build(spec))
      const at = (op: OpName): number => ops.indexOf(op)
      // Cgroups and the score are the maker's to set, who still has the host's privileges.
      for (const op of ['oom_score_adj', 'cgroup_join'] as const) assert.ok(at(op) < at('clone'))
      // Nothing may be mounted before mounts stop going to the host.
      const mounts = ['fsmount', 'overlay', 'move_mount', 'bind', 'bind_device', 'mask_path'] as const
      for (const op of mounts.filter((each) => ops.includes(each))) assert.ok(at('propagation') < at(op), op)
      assert.ok(at('clone') < at('pdeathsig') && at('pdeathsig') < at('propagation'))
      assert.ok(ops.lastIndexOf('mask_path') < at('pivot_root'))
      // The last thing before waiting is to let go of the host.
      const tail = ops.slice(at('pivot_root') + 1)
      assert.deepEqual([...new Set(tail)], ['close', 'await'])
      assert.equal(tail.at(-1), 'await')
      assert.equal(tail.filter((op) => op === 'await').length, 1)
    }),
  )
})

test('every slot that leads to the host is closed before the wait', () => {
  const spec = specOf(normalized())
  const root = { ...prepareInput(spec).root, lowers: ['1/'], detached: [1, 2] }
  const closed = build(spec, { root, bindsAhead: true })
    .filter(({ op }) => op === 'close')
    .map(({ integers }) => integers[0])
  for (const slot of [kSlot.state, kSlot.stage, kSlot.proc, kSlot.sys, kSlot.pts, kSlot.hostRoot, 1, 2]) {
    assert.ok(closed.includes(slot), `slot ${slot}`)
  }
  // What the second plan works with stays.
  assert.ok(!closed.includes(kSlot.root) && !closed.includes(kSlot.dev))
})

test('namespaces, maps and cgroups reach the kernel', () => {
  const kAll = 0x20000 + 0x40000000 + 0x4000000 + 0x20000000 + 0x8000000 + 0x2000000 + 0x10000000
  const kIpc = 0x8000000
  const steps = build(specOf(normalized()))
  const clone = findStep(steps, 'clone') as Step
  assert.equal(clone.integers[0], kAll - kIpc)
  // Made by the root of the container, whom its message queues belong to then.
  assert.deepEqual(findStep(steps, 'unshare')?.integers, [kIpc])
  assert.equal(clone.integers[1], kSlot.unifiedCgroup)
  assert.deepEqual(clone.strings, ['0 100000 65536\n', '0 100000 65536\n', ''])
  const plain = build(specOf(normalized({ userns: 'host', network: 'host' })), { unifiedCgroup: null, mapMode: 'deny' })
  const other = findStep(plain, 'clone') as Step
  assert.equal(other.integers[0], kAll - kIpc - 0x40000000 - 0x10000000)
  assert.deepEqual([other.integers[1], ...other.strings], [-1, '', '', 'deny'])
})

test('loopback only in a network namespace of its own', () => {
  assert.ok(findStep(build(specOf(normalized())), 'loopback_up') !== undefined)
  assert.equal(findStep(build(specOf(normalized({ network: 'host' }))), 'loopback_up'), undefined)
})

test('the network of another container is entered before there is a user namespace, and /sys mounted there', () => {
  for (const userns of ['auto', 'host'] as const) {
    const spec = specOf(normalized({ userns, network: 'container:other' }), 'box', '/proc/7/ns/net')
    const steps = build(spec, { networkSlot: 3 })
    const ops = steps.map(({ op }) => op)
    const clone = ops.indexOf('clone')
    const ahead = steps.slice(0, clone)
    assert.deepEqual(findStep(ahead, 'setns')?.integers, [3, 0x40000000, 1])
    assert.deepEqual(findStep(ahead, 'close')?.integers, [3])
    assert.equal(Number(steps[clone]?.integers[0]) & 0x40000000, 0)
    assert.equal(findStep(steps, 'loopback_up'), undefined)
    assert.equal(findStep(ahead, 'fsmount', 'sysfs') !== undefined, userns === 'auto')
    assert.equal(findStep(steps.slice(clone), 'fsmount', 'sysfs') !== undefined, userns === 'host')
    assert.equal(loadNative().checkPlan(encodePlan(steps)), undefined)
  }
})

test('mounts follow the host only when a bind mount asks for it', () => {
  const flags = (propagation: 'rprivate' | 'rslave' | 'rshared') => {
    const spec = specOf(normalized({ mounts: [{ type: 'bind', source: '/srv', target: '/srv', propagation }] }))
    return findStep(build(spec), 'propagation')?.integers[0]
  }
  assert.equal(flags('rprivate'), kMountFlag.rec | kMountFlag.private)
  assert.equal(flags('rslave'), kMountFlag.rec | kMountFlag.slave)
  assert.equal(flags('rshared'), kMountFlag.rec | kMountFlag.slave)
})

test('the root is an overlay of generated files and layers, topmost first', () => {
  const overlay = findStep(build(specOf(normalized())), 'overlay') as Step
  assert.deepEqual(overlay.strings, [
    'root',
    `${kSlot.state}/scratch/upper`,
    `${kSlot.state}/scratch/work`,
    nulTerminated([`${kSlot.stage}/skel`, '0/layers/b', '0/layers/a']),
  ])
  assert.equal(overlay.integers[2], 3)
  const root = { ...prepareInput(specOf(normalized())).root, userXattr: false, volatile: false }
  assert.equal(findStep(build(specOf(normalized()), { root }), 'overlay')?.integers[2], 0)
})

test('generated files are written below the image, where a link of the image cannot lead them elsewhere', () => {
  const steps = build(specOf(normalized()), { etcFiles: { '/etc/hosts': 'text\n' } })
  const write = findStep(steps, 'write_file') as Step
  assert.deepEqual(write.strings, ['skel/etc/hosts', 'text\n'])
  assert.equal(write.integers[0], kSlot.stage)
  assert.ok(steps.indexOf(write) < opsOf(steps).indexOf('overlay'))
})

test('masked and read-only paths of /proc and /sys are dealt with before those are in place', () => {
  const steps = build(specOf(normalized({ maskedPaths: ['/proc/kcore', '/etc/x'], readonlyPaths: ['/sys/firmware'] })))
  assert.deepEqual(findStep(steps, 'mask_path', 'kcore')?.integers, [kSlot.proc])
  assert.deepEqual(findStep(steps, 'readonly_path', 'firmware')?.integers, [kSlot.sys])
  assert.equal(findStep(steps, 'mask_path', '/etc/x'), undefined)
  assert.ok(opsOf(steps).indexOf('mask_path') < opsOf(steps).lastIndexOf('move_mount'))
})

test('device nodes are bound in a user namespace, and may be made without one', () => {
  const flags = (userns: 'auto' | 'host') =>
    build(specOf(normalized({ userns })))
      .filter(({ op }) => op === 'bind_device')
      .map(({ integers }) => integers[3])
  assert.deepEqual([...new Set(flags('auto'))], [0])
  assert.deepEqual([...new Set(flags('host'))], [1])
})

test('what the host shows of cgroups depends on its version', () => {
  const spec = specOf(normalized())
  const views = (list: NonNullable<Parameters<typeof prepareInput>[1]>['cgroupViews']) =>
    build(spec, { cgroupViews: list ?? [] })
      .filter(({ op, strings }) => op === 'fsmount' && strings.some((text) => /cgroup/.test(String(text))))
      .map(({ strings }) => strings)
  assert.deepEqual(views([{ directory: '', type: 'cgroup2', options: [] }]), [['cgroup2', 'fs/cgroup']])
  assert.deepEqual(views([]), [])
  assert.deepEqual(views([{ directory: 'pids', type: 'cgroup', options: ['pids'] }]), [
    ['tmpfs', 'fs/cgroup', 'mode=755', 'size=1m'],
    ['cgroup', 'pids', 'pids'],
  ])
})

test('hidden paths of the host come last, over everything', () => {
  const spec = specOf(normalized())
  const overlays = [{ target: '/home', lower: '1/', upper: 'u', work: 'w' }]
  const steps = build(spec, { root: { ...prepareInput(spec).root, overlays, hide: ['/home/state'] } })
  const mask = steps.findIndex(({ op, strings }) => op === 'mask_path' && strings[0] === '/home/state')
  assert.ok(mask > opsOf(steps).lastIndexOf('overlay') && mask < opsOf(steps).indexOf('pivot_root'))
})

test('a bind mount over a standard place is not the standard mount', () => {
  assert.ok(isStandardMount({ destination: '/proc', type: 'proc', options: ['nosuid'] }))
  assert.ok(!isStandardMount({ destination: '/proc', type: 'bind', options: ['bind'] }))
  assert.ok(!isStandardMount({ destination: '/proc', options: ['bind'] }))
  assert.ok(!isStandardMount({ destination: '/data', type: 'tmpfs' }))
})
