// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cpuQuotaOf, cpuWeightOf, ioWeightOf, swapMaxOf } from '../../../lib/cgroup/convert.ts'
import { type CgroupResources, type LimitHost, planLimits } from '../../../lib/cgroup/limits.ts'
import { inheritCpuset } from '../../../lib/cgroup/limits-v1.ts'
import { InvalidOptionError, UnsupportedHostError } from '../../../lib/errors.ts'

const kMiB = 1024 * 1024

function host(version: 1 | 2, files: Record<string, string[]>): LimitHost {
  const entries = Object.entries(files).map(([controller, names]) => [controller, new Set(names)] as const)
  return { version, files: new Map(entries), probe: '/somewhere says nothing' }
}

const v1 = host(1, {
  memory: ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', 'memory.soft_limit_in_bytes'],
  cpu: ['cpu.shares', 'cpu.cfs_quota_us', 'cpu.cfs_period_us'],
  cpuset: ['cpuset.cpus', 'cpuset.mems'],
  pids: ['pids.max'],
  devices: ['devices.allow', 'devices.deny'],
  blkio: ['blkio.bfq.weight', 'blkio.throttle.read_bps_device', 'blkio.throttle.write_iops_device'],
})

const v2 = host(2, {
  memory: ['memory.max', 'memory.low', 'memory.swap.max', 'memory.high'],
  cpu: ['cpu.max', 'cpu.weight'],
  cpuset: ['cpuset.cpus', 'cpuset.mems'],
  pids: ['pids.max'],
  io: ['io.max', 'io.weight'],
})

function lines(resources: CgroupResources, on: LimitHost, ...rest: [('strict' | 'best-effort')?, object?]): string[] {
  return planLimits(resources, on, ...rest).writes.map(({ file, value }) => `${file}=${value}`)
}

test('v1: every kind of limit becomes a write to its own file', () => {
  const resources: CgroupResources = {
    devices: [
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', major: 1, minor: 3, access: 'rw' },
      { allow: true, type: 'c', major: 136, access: 'rwm' },
    ],
    memory: { limit: 64 * kMiB, swap: 128 * kMiB, reservation: 32 * kMiB },
    cpu: { shares: 512, quota: 50_000, period: 100_000, cpus: '0-1' },
    pids: { limit: 64 },
    blockIO: { weight: 300, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1000 }] },
  }
  assert.deepEqual(lines(resources, v1), [
    'devices.deny=a',
    'devices.allow=c 1:3 rw',
    'devices.allow=c 136:* rwm',
    `memory.limit_in_bytes=${64 * kMiB}`,
    `memory.memsw.limit_in_bytes=${128 * kMiB}`,
    `memory.soft_limit_in_bytes=${32 * kMiB}`,
    'cpu.shares=512',
    'cpu.cfs_period_us=100000',
    'cpu.cfs_quota_us=50000',
    'cpuset.cpus=0-1',
    'pids.max=64',
    'blkio.bfq.weight=300',
    'blkio.throttle.read_bps_device=8:0 1000',
  ])
})

test('v1: the sum of memory and swap is raised first and lowered last', () => {
  const update = (limit: number, swap: number, memorySwapBytes?: number) =>
    lines({ memory: { limit, swap } }, v1, 'strict', { memorySwapBytes }).map((line) => line.split('=')[0])
  const sumFirst = ['memory.memsw.limit_in_bytes', 'memory.limit_in_bytes']
  assert.deepEqual(update(128 * kMiB, 256 * kMiB, 64 * kMiB), sumFirst)
  assert.deepEqual(update(-1, -1, 64 * kMiB), sumFirst)
  assert.deepEqual(update(32 * kMiB, 64 * kMiB, 128 * kMiB), sumFirst.toReversed())
  assert.deepEqual(update(32 * kMiB, 64 * kMiB), sumFirst.toReversed())
})

test('v1: unlimited swap needs no swap accounting, limited swap does', () => {
  const bare = host(1, { memory: ['memory.limit_in_bytes'] })
  assert.deepEqual(lines({ memory: { limit: kMiB, swap: -1 } }, bare), [`memory.limit_in_bytes=${kMiB}`])
  assert.throws(() => planLimits({ memory: { limit: kMiB, swap: kMiB } }, bare), {
    name: 'UnsupportedHostError',
    message: /'memorySwap'.*'memory' \(v1\) is there but has no file memory\.memsw\.limit_in_bytes.*swapaccount=1/s,
  })
})

test('v1: an old kernel has blkio.weight, and settings of v2 are refused', () => {
  const old = host(1, { blkio: ['blkio.weight', 'blkio.bfq.weight'] })
  assert.deepEqual(lines({ blockIO: { weight: 10 } }, old), ['blkio.weight=10'])
  assert.throws(() => planLimits({ unified: { 'memory.high': '1' } }, v1), UnsupportedHostError)
})

test('v1: an empty cpuset takes what it lacks from its parent', () => {
  const parent = { cpus: '0-3\n', mems: '0\n' }
  const filled = inheritCpuset({ cpus: '\n', mems: '' }, parent).map(({ file, value }) => `${file}=${value}`)
  assert.deepEqual(filled, ['cpuset.cpus=0-3', 'cpuset.mems=0'])
  assert.deepEqual(inheritCpuset({ cpus: '1\n', mems: '0\n' }, parent), [])
})

test('v2: every kind of limit becomes a write in the units of v2', () => {
  const resources: CgroupResources = {
    memory: { limit: 64 * kMiB, swap: 96 * kMiB, reservation: 32 * kMiB },
    cpu: { shares: 1024, quota: 50_000, cpus: '0', mems: '0' },
    pids: { limit: -1 },
    blockIO: { weight: 1000, throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 0 }] },
    unified: { 'memory.high': '1000' },
  }
  assert.deepEqual(lines(resources, v2), [
    `memory.swap.max=${32 * kMiB}`,
    `memory.max=${64 * kMiB}`,
    `memory.low=${32 * kMiB}`,
    'cpu.weight=100',
    'cpu.max=50000 100000',
    'cpuset.cpus=0',
    'cpuset.mems=0',
    'pids.max=max',
    'io.weight=default 10000',
    'io.max=8:0 wiops=max',
    'memory.high=1000',
  ])
})

test('v2: no limits, unlimited ones and BFQ weights', () => {
  assert.deepEqual(lines({}, v2), [])
  assert.deepEqual(lines({ memory: { limit: -1 }, cpu: { quota: -1 } }, v2), [
    'memory.swap.max=max',
    'memory.max=max',
    'cpu.max=max 100000',
  ])
  assert.deepEqual(lines({ blockIO: { weight: 200 } }, host(2, { io: ['io.bfq.weight', 'io.weight'] })), [
    'io.bfq.weight=default 200',
  ])
  assert.deepEqual(lines({ memory: { limit: 5, swap: -1 } }, host(2, { memory: ['memory.max'] })), ['memory.max=5'])
})

test('v2: a key of unified cannot leave the directory', () => {
  for (const key of ['../x.y', 'memory/..', 'cgroup.procs', 'plain', 'memory.high/../../x']) {
    assert.throws(() => planLimits({ unified: { [key]: '1' } }, v2), InvalidOptionError, key)
  }
})

test('a missing controller is named, with what was looked at and a way out', () => {
  const bare: LimitHost = { version: 2, files: new Map(), probe: "/x/cgroup.controllers says 'hugetlb'" }
  assert.throws(() => planLimits({ memory: { limit: kMiB } }, bare), {
    name: 'UnsupportedHostError',
    code: 'ERR_UNSUPPORTED_HOST',
    feature: "the limit 'memory'",
    probe: "cgroup controller 'memory' is not available: /x/cgroup.controllers says 'hugetlb'",
    hint: /\+memory to cgroup\.subtree_control.*limits: 'best-effort'/s,
  })
  assert.throws(() => planLimits({ pids: { limit: 1 } }, { ...bare, version: 1 }), { hint: /mount -t cgroup -o pids/ })
  assert.throws(() => planLimits({ cpu: { shares: 2 } }, host(2, { cpu: ['cpu.max'] })), { hint: /has cpu\.weight/ })
})

test('best-effort leaves out what is missing, and says what', () => {
  const onlyPids = host(2, { pids: ['pids.max'] })
  const plan = planLimits({ memory: { limit: kMiB }, pids: { limit: 3 } }, onlyPids, 'best-effort')
  assert.deepEqual(plan.writes, [{ controller: 'pids', file: 'pids.max', value: '3' }])
  assert.deepEqual(plan.skipped, [{ limit: 'memory', controller: 'memory', file: 'memory.max' }])
})

test('conversions meet at both ends and at the default', () => {
  assert.deepEqual([0, 2, 1024, 262_144, 999_999].map(cpuWeightOf), [1, 1, 100, 10_000, 10_000])
  assert.ok(cpuWeightOf(512) < 100 && cpuWeightOf(2048) > 100)
  assert.deepEqual([10, 1000].map(ioWeightOf), [1, 10_000])
  assert.deepEqual(cpuQuotaOf(0.5), { quota: 50_000, period: 100_000 })
  assert.throws(() => cpuQuotaOf(0.001), InvalidOptionError)
  assert.throws(() => cpuQuotaOf(Number.NaN), InvalidOptionError)
})

test('swap on v2 is the sum without memory', () => {
  assert.equal(swapMaxOf(100, 100), '0')
  assert.equal(swapMaxOf(100, 150), '50')
  assert.equal(swapMaxOf(100, -1), 'max')
  assert.equal(swapMaxOf(100, undefined), undefined)
  assert.throws(() => swapMaxOf(100, 99), { name: 'InvalidOptionError', option: 'memorySwap' })
  assert.throws(() => swapMaxOf(undefined, 99), { name: 'InvalidOptionError', option: 'memorySwap' })
})
