// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { removeCgroupDir, walkDirs } from '../../../lib/cgroup/cgroup-fs.ts'
import { createCgroupDriver } from '../../../lib/cgroup/driver.ts'
import { planLimits } from '../../../lib/cgroup/limits.ts'
import { fillCpuset } from '../../../lib/cgroup/parents.ts'
import { resetWritesV1 } from '../../../lib/cgroup/v1.ts'
import { type FakeCgroupfs, makeFakeCgroupfs } from '../../helpers/fake-cgroupfs.ts'

const kMountsV1 = ['cpu,cpuacct', 'cpuset', 'memory', 'devices', 'freezer', 'blkio', 'pids', 'systemd']

/** Makes the cgroup `c1` and gives its directories the files that the kernel would. */
async function createFilled(fake: FakeCgroupfs) {
  const cgroup = await createCgroupDriver(fake.world).create('c1')
  for (const dir of cgroup.dirs) await fake.fill(dir.slice(fake.root.length + 1))
  return cgroup
}

test('v1: one directory per hierarchy, co-mounted controllers once, systemd included', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v1')
  const cgroup = await createCgroupDriver(fake.world).create('c1')
  assert.deepEqual(
    cgroup.dirs,
    kMountsV1.map((mount) => join(fake.root, mount, 'wherry/c1')),
  )
  assert.deepEqual(
    cgroup.procsPaths,
    cgroup.dirs.map((dir) => `${dir}/cgroup.procs`),
  )
  assert.deepEqual(
    cgroup.selfAttachPaths,
    cgroup.dirs.map((dir) => `${dir}/tasks`),
  )
  assert.equal(cgroup.unifiedDir, undefined)
  assert.equal(await fake.read('cpuset/wherry/cpuset.cpus'), '0-3\n'.trim())
  assert.equal(await fake.read('cpuset/wherry/cpuset.mems'), '0')
  assert.match(await fake.read('cpuset/wherry/cgroup.clone_children'), /^1/)
})

test('hybrid: the v2 mount has a directory too, which is not for tasks', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'hybrid')
  const cgroup = await createCgroupDriver(fake.world).create('c1')
  assert.equal(cgroup.unifiedDir, join(fake.root, 'unified/wherry/c1'))
  assert.equal(cgroup.dirs.length, kMountsV1.length + 1)
  assert.equal(cgroup.selfAttachPaths.length, kMountsV1.length)
})

test('v1: only the wanted controllers are used', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v1')
  const cgroup = await createCgroupDriver(fake.world, { controllers: ['pids'], parent: 'other' }).create('c1')
  assert.deepEqual(
    cgroup.dirs,
    ['pids', 'systemd'].map((mount) => join(fake.root, mount, 'other/c1')),
  )
})

test('v1: limits land in the files of their controller, statistics come from them', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v1')
  const driver = createCgroupDriver(fake.world)
  const cgroup = await createFilled(fake)
  const { writes } = planLimits(
    { memory: { limit: 4096 }, cpu: { shares: 2 }, pids: { limit: 7 } },
    await driver.limitHost(),
  )
  await cgroup.apply(writes)
  assert.match(await fake.read('memory/wherry/c1/memory.limit_in_bytes'), /^4096/)
  assert.match(await fake.read('cpu,cpuacct/wherry/c1/cpu.shares'), /^2/)
  await fake.fill('memory/wherry/c1', {
    'memory.usage_in_bytes': '10\n',
    'memory.max_usage_in_bytes': '20\n',
    'memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n',
  })
  await fake.fill('cpu,cpuacct/wherry/c1', { 'cpuacct.usage': '5000000\n', 'cpuacct.stat': 'user 2\nsystem 1\n' })
  assert.deepEqual(await cgroup.stats(), {
    memoryBytes: 10,
    memoryPeakBytes: 20,
    cpuMicros: 5000,
    userMicros: 20_000,
    systemMicros: 10_000,
    pids: 0,
    oomKills: 3,
  })
})

test('v1: reset undoes limits, empties memory and starts counters anew', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v1')
  const cgroup = await createFilled(fake)
  await cgroup.apply([{ controller: 'memory', file: 'memory.limit_in_bytes', value: '4096' }])
  cgroup.noteApplied([{ controller: 'cpuset', file: 'cpuset.cpus', value: '1' }])
  await fake.fill('memory/wherry/c1', { 'memory.max_usage_in_bytes': '20\n', 'memory.oom_control': 'oom_kill 3\n' })
  await fake.fill('cpu,cpuacct/wherry/c1', { 'cpuacct.usage': '5000000\n' })
  assert.equal(await cgroup.reset(), true)
  assert.match(await fake.read('memory/wherry/c1/memory.limit_in_bytes'), /^-1/)
  assert.match(await fake.read('cpuset/wherry/c1/cpuset.cpus'), /^0-3/)
  const { memoryPeakBytes, cpuMicros, oomKills } = await cgroup.stats()
  assert.deepEqual({ memoryPeakBytes, cpuMicros, oomKills }, { memoryPeakBytes: 0, cpuMicros: 0, oomKills: 0 })
})

test('reset refuses a cgroup that is in use, has cgroups inside, is gone, or has unknown settings', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v1', { mounts: ['memory', 'pids'] })
  const cgroup = await createFilled(fake)
  await fake.fill('memory/wherry/c1', { 'cgroup.procs': '12\n' })
  assert.equal(await cgroup.reset(), false)
  await fake.fill('memory/wherry/c1', { 'cgroup.procs': '' })
  await mkdir(join(fake.root, 'pids/wherry/c1/inner'))
  assert.equal(await cgroup.reset(), false)
  await rm(join(fake.root, 'pids/wherry/c1/inner'), { recursive: true })
  await fake.fill('memory/wherry/c1', { 'memory.usage_in_bytes': '9999999\n' })
  assert.equal(await cgroup.reset(), false)
  await fake.fill('memory/wherry/c1', { 'memory.usage_in_bytes': '0\n' })
  cgroup.noteApplied([{ controller: 'memory', file: 'memory.unheard_of', value: '1' }])
  assert.equal(await cgroup.reset(), false)
  await rm(join(fake.root, 'memory/wherry/c1'), { recursive: true })
  assert.equal(await cgroup.reset(), false)
})

test('v1: what was applied decides which writes undo it, in an order the kernel takes', () => {
  const applied = [
    { controller: 'memory', file: 'memory.limit_in_bytes', value: '1' },
    { controller: 'memory', file: 'memory.memsw.limit_in_bytes', value: '2' },
    { controller: 'devices', file: 'devices.deny', value: 'a' },
    { controller: 'blkio', file: 'blkio.throttle.read_bps_device', value: '8:0 5' },
  ]
  assert.deepEqual(
    resetWritesV1(applied)
      .map(({ file, value }) => `${file}=${value}`)
      .sort(),
    [
      'blkio.throttle.read_bps_device=8:0 0',
      'devices.allow=a',
      'memory.limit_in_bytes=-1',
      'memory.memsw.limit_in_bytes=-1',
    ],
  )
  const files = resetWritesV1(applied).map(({ file }) => file)
  assert.ok(files.indexOf('memory.memsw.limit_in_bytes') < files.indexOf('memory.limit_in_bytes'))
})

test('a read-only hierarchy is left alone, and a limit of it is refused', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v1', { readOnly: ['memory'] })
  const driver = createCgroupDriver(fake.world)
  const cgroup = await driver.create('c1')
  assert.ok(!cgroup.dirs.some((dir) => dir.includes('/memory/')))
  const host = await driver.limitHost()
  assert.throws(() => planLimits({ memory: { limit: 1 } }, host), {
    name: 'UnsupportedHostError',
    probe: `cgroup controller 'memory' is not available: this process may not make directories in ${fake.root}/memory`,
    hint: /^run as root/,
  })
  assert.throws(() => cgroup.pathOf({ controller: 'memory', file: 'memory.limit_in_bytes', value: '1' }), {
    name: 'UnsupportedHostError',
    feature: "the cgroup controller 'memory'",
  })
})

test('where no hierarchy is writable, create refuses or answers with an empty cgroup', async (t) => {
  for (const version of ['v1', 'v2'] as const) {
    const fake = await makeFakeCgroupfs(t, version, { readOnly: [...kMountsV1, 'unified'] })
    await assert.rejects(createCgroupDriver(fake.world).create('c1'), {
      name: 'UnsupportedHostError',
      feature: 'cgroups',
      probe: version === 'v1' ? /none of the cgroup v1 mounts/ : /is writable/,
      hint: version === 'v1' ? /^run as root/ : /Delegate=yes/,
    })
    const empty = await createCgroupDriver(fake.world, { limits: 'best-effort' }).create('c1')
    assert.deepEqual([empty.dirs, empty.procsPaths, empty.unifiedDir], [[], [], undefined])
    assert.deepEqual(await empty.processes(), [])
    assert.equal((await empty.stats()).memoryBytes, null)
    assert.equal(await empty.reset(), false)
    await assert.rejects(empty.freeze(), { name: 'UnsupportedHostError' })
    await empty.apply([])
    await empty.killAll('SIGKILL')
    await empty.remove()
  }
})

test('a host without cgroups', async () => {
  const driver = createCgroupDriver({ version: 'none', hierarchies: [] })
  await assert.rejects(driver.create('c1'), { name: 'UnsupportedHostError', probe: /no mount of type cgroup/ })
  assert.deepEqual((await driver.create('c1', { required: false })).dirs, [])
  assert.equal((await driver.limitHost()).files.size, 0)
  assert.equal(await driver.open('c1'), undefined)
  assert.deepEqual(await driver.list(), [])
  await driver.removeParents()
})

test('names that could leave the directory are refused', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v2')
  for (const name of ['', '..', 'a/b', '.', 'cgroup.procs', 'a\0b', 'x'.repeat(129)]) {
    await assert.rejects(createCgroupDriver(fake.world).create(name), { name: 'InvalidOptionError', option: 'name' })
  }
  assert.throws(() => createCgroupDriver(fake.world, { parent: '../x' }), { option: 'parent' })
})

test('a name in use is a conflict, and directories made for it are taken back', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v1')
  await mkdir(join(fake.root, 'pids/wherry/c1'))
  await assert.rejects(createCgroupDriver(fake.world).create('c1'), { name: 'ConflictError', code: 'ERR_CONFLICT' })
  for (const mount of kMountsV1) {
    const names = await readdir(join(fake.root, mount, 'wherry'))
    assert.equal(names.includes('c1'), mount === 'pids', mount)
  }
})

test('parents that somebody removed are made again', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v2')
  const driver = createCgroupDriver(fake.world)
  await driver.create('c1')
  await rm(join(fake.root, 'unified/wherry'), { recursive: true })
  const again = await driver.create('c2')
  assert.deepEqual(await driver.list(), ['c2'])
  await again.remove()
  await driver.removeParents()
  assert.deepEqual(await driver.list(), [])
})

test('two creates at once share the making of parents', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'hybrid')
  const driver = createCgroupDriver(fake.world)
  await Promise.all(['a', 'b', 'c'].map((name) => driver.create(name)))
  assert.deepEqual(await driver.list(), ['a', 'b', 'c'])
})

test('open finds what another process made, also when only a part is left', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'hybrid')
  await createCgroupDriver(fake.world).create('c1')
  await rm(join(fake.root, 'memory/wherry/c1'), { recursive: true })
  const driver = createCgroupDriver(fake.world)
  const cgroup = await driver.open('c1')
  assert.equal(cgroup?.dirs.length, kMountsV1.length)
  assert.equal(cgroup?.unifiedDir, join(fake.root, 'unified/wherry/c1'))
  assert.equal(await driver.open('c2'), undefined)
  await cgroup?.remove()
  assert.deepEqual(await driver.list(), [])
})

test('remove waits for a busy directory, takes cgroups inside along, and may be repeated', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v2')
  const cgroup = await createFilled(fake)
  await mkdir(join(fake.root, 'unified/wherry/c1/a/b'), { recursive: true })
  await mkdir(join(fake.root, 'unified/wherry/c1/c'))
  const removed = cgroup.remove()
  await delay(30)
  await fake.empty('unified/wherry/c1')
  await removed
  await cgroup.remove()
  assert.deepEqual(await readdir(join(fake.root, 'unified/wherry')).then((names) => names.includes('c1')), false)
})

test('a cgroup that stays busy is reported with its path', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v2')
  const dir = join(fake.root, 'unified/wherry/c1')
  await mkdir(dir)
  await writeFile(join(dir, 'cgroup.procs'), '1\n')
  await assert.rejects(removeCgroupDir(dir), {
    name: 'SyscallError',
    syscall: 'rmdir',
    path: dir,
    step: 'cgroup',
    hint: /processes/,
  })
})

test('processes: nested ones too, strangers to our pid namespace not', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v2')
  const cgroup = await createFilled(fake)
  await fake.fill('unified/wherry/c1', { 'cgroup.procs': '30\n0\n4\n' })
  await fake.fill('unified/wherry/c1/inner', { 'cgroup.procs': '5\n30\n' })
  assert.deepEqual(await cgroup.processes(), [4, 5, 30])
  assert.deepEqual(await walkDirs(join(fake.root, 'nowhere')), [join(fake.root, 'nowhere')])
})

test('a limit that the kernel refuses names file, value and cgroup', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v2')
  const cgroup = await createFilled(fake)
  await assert.rejects(cgroup.apply([{ controller: 'memory', file: 'memory.none', value: '5' }]), {
    name: 'SyscallError',
    code: 'ENOENT',
    message: /Setting memory\.none of cgroup c1 to '5': open\(".*memory\.none"\) failed with ENOENT/,
  })
})

test('v2: controllers are passed down to the parent and through it', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v2', { controllers: ['cpu', 'memory', 'pids', 'misc'] })
  await createCgroupDriver(fake.world).create('c1')
  assert.equal(await fake.read('unified/cgroup.subtree_control'), '+cpu +memory +pids')
  assert.equal(await fake.read('unified/wherry/cgroup.subtree_control'), '+cpu +memory +pids')
})

test('v2: limits follow what is passed on, and nothing is written when all is', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v2', { controllers: ['memory', 'pids'] })
  const enabled = { 'cgroup.subtree_control': 'memory pids\n' }
  await fake.fill('unified', enabled)
  await fake.fill('unified/wherry', enabled)
  const host = await createCgroupDriver(fake.world).limitHost()
  assert.equal(await fake.read('unified/cgroup.subtree_control'), 'memory pids\n')
  assert.deepEqual([...host.files.keys()], ['memory', 'pids'])
  assert.ok(host.files.get('memory')?.has('memory.swap.max'))
  assert.throws(() => planLimits({ cpu: { shares: 2 } }, host), {
    probe: new RegExp(`'cpu' is not available: ${fake.root}/unified/cgroup.controllers says 'memory pids'`),
  })
})

test('v2: our own delegated directory serves when the root is not ours', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v2', { readOnly: ['unified'] })
  await fake.fill('unified/user.slice/app/me')
  const [hierarchy] = fake.world.hierarchies
  assert.ok(hierarchy)
  const ownDir = join(fake.root, 'unified/user.slice/app/me')
  // user.slice itself has no cgroup.procs that could be written to.
  await fake.fill('unified/user.slice/app')
  const driver = createCgroupDriver({ version: 'v2', hierarchies: [{ ...hierarchy, ownDir }] })
  const cgroup = await driver.create('c1')
  assert.deepEqual(cgroup.dirs, [join(fake.root, 'unified/user.slice/app/wherry/c1')])
})

test('v2: statistics, freezing and what this kernel lacks', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v2')
  const cgroup = await createFilled(fake)
  await fake.fill('unified/wherry/c1', {
    'memory.current': '10\n',
    'memory.peak': '20\n',
    'memory.events': 'oom 1\noom_kill 2\n',
    'cpu.stat': 'usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 0\n',
    'cgroup.events': 'populated 1\nfrozen 1\n',
  })
  assert.deepEqual(await cgroup.stats(), {
    memoryBytes: 10,
    memoryPeakBytes: 20,
    cpuMicros: 30,
    userMicros: 20,
    systemMicros: 10,
    pids: 0,
    oomKills: 2,
  })
  await cgroup.freeze()
  assert.match(await fake.read('unified/wherry/c1/cgroup.freeze'), /^1/)
  const thawed = cgroup.thaw()
  await delay(5)
  await fake.fill('unified/wherry/c1', { 'cgroup.events': 'populated 1\nfrozen 0\n' })
  await thawed
  assert.equal(await cgroup.reset(), false)
  await rm(join(fake.root, 'unified/wherry/c1/cgroup.freeze'))
  await assert.rejects(cgroup.freeze(), { name: 'UnsupportedHostError', hint: 'use Linux 5.2 or later.' })
  await rm(join(fake.root, 'unified/wherry/c1/memory.peak'))
  assert.equal((await cgroup.stats()).memoryPeakBytes, null)
})

test('v1: freezing uses the freezer controller, and says so when there is none', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v1')
  const cgroup = await createFilled(fake)
  await cgroup.freeze()
  assert.equal((await fake.read('freezer/wherry/c1/freezer.state')).trim(), 'FROZEN')
  const bare = await makeFakeCgroupfs(t, 'v1', { mounts: ['pids'] })
  await assert.rejects((await createFilled(bare)).freeze(), { name: 'UnsupportedHostError', probe: /'freezer'/ })
})

test('hybrid: CPU time comes from v2 where v1 has no cpuacct', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'hybrid', { mounts: ['pids'] })
  const cgroup = await createFilled(fake)
  await fake.fill('unified/wherry/c1', { 'cpu.stat': 'usage_usec 3\nuser_usec 2\nsystem_usec 1\n' })
  const { cpuMicros, userMicros, memoryBytes } = await cgroup.stats()
  assert.deepEqual({ cpuMicros, userMicros, memoryBytes }, { cpuMicros: 3, userMicros: 2, memoryBytes: null })
})

test('a cpuset is filled by hand where the kernel does not copy it', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v1')
  await fake.fill('cpuset/wherry/c1')
  await fillCpuset(join(fake.root, 'cpuset/wherry/c1'), join(fake.root, 'cpuset'))
  assert.match(await fake.read('cpuset/wherry/c1/cpuset.cpus'), /^0-3/)
})
