// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ContainerOptions } from '../../../lib/options/container-options.ts'
import { encodePlan } from '../../../lib/plan/encode.ts'
import { buildPreparePlan } from '../../../lib/plan/prepare-plan.ts'
import { etcFiles } from '../../../lib/rootfs/etc-files.ts'
import type { Rootfs } from '../../../lib/runtime/slot-factory.ts'
import { kHostnameOfSlot, slotKey, slotProfile } from '../../../lib/runtime/slot-profile.ts'
import { containerOptions, normalized, prepareInput, specOf } from '../plan/inputs.ts'

const kLayers: Rootfs = { kind: 'layers', layers: [{ dir: '/state/layers/a' }] }

/** The first plan of a container with these options, made as the slot factory makes it. */
function preparePlan(options: ContainerOptions, bindsAhead = false): Uint8Array {
  const wanted = normalized(options)
  const profile = slotProfile(specOf(wanted, kHostnameOfSlot), kLayers, wanted, false)
  const hostname = profile.spec.hostname ?? '0123456789ab'
  const { network, dns, extraHosts } = profile
  const files = etcFiles({
    hostname,
    network,
    address: null,
    dns,
    extraHosts,
    hostHosts: '127.0.0.1 localhost\n',
    hostResolvConf: 'nameserver 10.1.1.1\n',
  })
  const spec = { ...profile.spec, hostname }
  return encodePlan(buildPreparePlan(prepareInput(spec, { bindsAhead, etcFiles: { ...files } })))
}

const key = (options: ContainerOptions): string => slotKey(kLayers, normalized(options), false)

test('property: containers with one key have one first plan', () => {
  fc.assert(
    fc.property(containerOptions, containerOptions, fc.func(fc.boolean()), fc.boolean(), (a, other, takes, ahead) => {
      // Like `a` but for some options: unrelated pairs would hardly ever share a key.
      const changed = Object.entries(other).filter(([name]) => takes(name))
      const b = { ...a, ...Object.fromEntries(changed) }
      if (key(a) === key(b)) assert.deepEqual(preparePlan(b, ahead), preparePlan(a, ahead))
    }),
    { numRuns: 500 },
  )
})

test('each option by itself: where it changes the plan it changes the key', () => {
  const changes: ContainerOptions[] = [
    { env: { A: '1' } },
    { cwd: '/srv' },
    { user: '1000' },
    { groups: ['4'] },
    { hostname: 'other' },
    { tty: true },
    { init: true },
    { readOnly: true },
    { mounts: [{ type: 'tmpfs', target: '/dev/shm' }] },
    { mounts: [{ type: 'bind', source: '/a', target: '/sys' }] },
    { mounts: [{ type: 'bind', source: '/a', target: '/a', propagation: 'rshared' }] },
    { memory: '64m' },
    { cpus: 1 },
    { pids: 5 },
    { ulimits: { nofile: 5 } },
    { oomScoreAdj: 5 },
    { shmSize: '1m' },
    { userns: 'host' },
    { capabilities: { add: ['ALL'] } },
    { seccomp: 'unconfined' },
    { noNewPrivileges: false },
    { maskedPaths: [] },
    { readonlyPaths: [] },
    { sysctls: { 'kernel.msgmax': 5 } },
    { privileged: true },
    { network: 'host' },
    { dns: ['10.0.0.1'] },
    { extraHosts: { a: '10.0.0.1' } },
    { name: 'box' },
    { labels: { a: 'b' } },
  ]
  const plain = preparePlan({})
  const changing = changes.filter((options) => Buffer.compare(preparePlan(options), plain) !== 0)
  assert.ok(changing.length >= 10)
  for (const options of changing) assert.notEqual(key(options), key({}), JSON.stringify(options))
})

test('programs, users and limits share a key', () => {
  const shared: ContainerOptions[] = [
    { env: { A: '1' } },
    { user: '1000', groups: ['4'], cwd: '/srv' },
    { memory: '64m', cpus: 1, pids: 5 },
    { tty: true, init: true, readOnly: true },
    { capabilities: { drop: ['ALL'] }, seccomp: 'unconfined', noNewPrivileges: false },
    { name: 'box', labels: { a: 'b' } },
  ]
  for (const options of shared) assert.equal(key(options), key({}), JSON.stringify(options))
})

test('images, the host, and the need of a cgroup have keys of their own', () => {
  const options = normalized()
  const rootfs: Rootfs[] = [
    kLayers,
    { kind: 'layers', layers: [{ dir: '/state/layers/b' }] },
    { kind: 'layers', layers: [{ dir: '/state/layers/a' }, { dir: '/state/layers/b' }] },
    { kind: 'layers', layers: [{ dir: '/state/layers/b' }, { dir: '/state/layers/a' }] },
    { kind: 'host', hide: [] },
    { kind: 'host', hide: ['/state/layers/a'] },
  ]
  const keys = rootfs.flatMap((each) => [slotKey(each, options, false), slotKey(each, options, true)])
  assert.equal(new Set(keys).size, keys.length)
})
