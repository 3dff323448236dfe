// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import { type Cgroup, type CgroupDriver, createCgroupDriver } from '../../lib/cgroup/driver.ts'
import { planLimits } from '../../lib/cgroup/limits.ts'
import { readCgroupWorld } from '../../lib/cgroup/read-world.ts'
import { needs, skipOrFail } from '../helpers/needs.ts'

const kMiB = 1024 * 1024

/** A driver with a parent of this test's own; everything below it and itself is removed afterwards. */
async function realDriver(t: TestContext): Promise<CgroupDriver> {
  const driver = createCgroupDriver(await readCgroupWorld(), { parent: `wherry-test-${process.pid}-${Date.now()}` })
  t.after(async () => {
    for (const name of await driver.list()) {
      const cgroup = await driver.open(name)
      await cgroup?.killAll('SIGKILL')
      await cgroup?.remove()
    }
    await driver.removeParents()
  })
  return driver
}

/** Starts a shell that joins a cgroup and then runs `script`; resolves when it has joined. */
async function startIn(cgroup: Cgroup, script: string): Promise<ChildProcess> {
  const files = [
    ...cgroup.selfAttachPaths,
    ...(cgroup.unifiedDir === undefined ? [] : [`${cgroup.unifiedDir}/cgroup.procs`]),
  ]
  const lines = ['set -e', ...files.map((file) => `echo 0 > '${file}'`), 'echo joined', script]
  const child = spawn('/bin/sh', ['-c', lines.join('\n')], { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(child.stdout, 'data')
  return child
}

test('a process joins all hierarchies, is listed, counted, and ends with SIGKILL', async (t) => {
  if (!needs(t, 'root') || !needs(t, 'cgroup')) return
  const driver = await realDriver(t)
  const cgroup = await driver.create('life')
  const child = await startIn(cgroup, 'sleep 100 & wait')
  const exited = once(child, 'exit')
  const own = await readFile(`/proc/${child.pid}/cgroup`, 'utf8')
  const joined = own.split('\n').filter((line) => line.endsWith('/life'))
  assert.equal(joined.length, cgroup.dirs.length, own)
  const pids = await cgroup.processes()
  assert.equal(pids.length, 2)
  assert.ok(pids.includes(child.pid ?? -1))
  const stats = await cgroup.stats()
  assert.ok((stats.cpuMicros ?? 1) > 0)
  assert.ok(stats.pids === null || stats.pids === 2)
  assert.equal(await cgroup.reset(), false)
  await cgroup.killAll('SIGKILL')
  assert.deepEqual(await cgroup.processes(), [])
  assert.equal((await exited)[1], 'SIGKILL')
  await cgroup.remove()
  assert.deepEqual(
    cgroup.dirs.filter((dir) => existsSync(dir)),
    [],
  )
  assert.equal(await driver.open('life'), undefined)
})

test('freezing stops processes, which can be killed all the same', async (t) => {
  if (!needs(t, 'root') || !needs(t, 'cgroup')) return
  const cgroup = await (await realDriver(t)).create('freeze')
  const child = await startIn(cgroup, 'while :; do sleep 0.001; done')
  const exited = once(child, 'exit')
  await cgroup.freeze()
  const ticks = async () => (await readFile(`/proc/${child.pid}/stat`, 'utf8')).split(' ').slice(13, 17).join(' ')
  const before = await ticks()
  assert.equal(await ticks(), before)
  await cgroup.thaw()
  await cgroup.freeze()
  await cgroup.killAll('SIGKILL')
  await exited
  assert.deepEqual(await cgroup.processes(), [])
})

test('a signal other than SIGKILL reaches every process', async (t) => {
  if (!needs(t, 'root') || !needs(t, 'cgroup')) return
  const cgroup = await (await realDriver(t)).create('term')
  const child = await startIn(cgroup, 'exec sleep 100')
  const exited = once(child, 'exit')
  await cgroup.killAll('SIGTERM')
  assert.equal((await exited)[1], 'SIGTERM')
})

test('cgroups made inside are killed and removed too', async (t) => {
  if (!needs(t, 'root') || !needs(t, 'cgroup')) return
  const cgroup = await (await realDriver(t)).create('nested')
  const [first] = cgroup.dirs
  assert.ok(first)
  await mkdir(`${first}/a/b/c`, { recursive: true })
  await mkdir(`${first}/d`)
  await cgroup.remove()
  assert.equal(existsSync(first), false)
})

test('all limits this host knows can be set, lowered, raised and reset', async (t) => {
  if (!needs(t, 'root') || !needs(t, 'cgroup')) return
  const driver = await realDriver(t)
  const cgroup = await driver.create('limits')
  const host = await driver.limitHost()
  const set = async (megabytes: number, memorySwapBytes?: number) => {
    const bytes = megabytes * kMiB
    const resources = {
      memory: { limit: bytes, swap: 2 * bytes, reservation: bytes / 2 },
      cpu: { shares: 512, quota: 50_000, period: 100_000, cpus: '0' },
      pids: { limit: megabytes },
    }
    await cgroup.apply(planLimits(resources, host, 'best-effort', { memorySwapBytes }).writes)
  }
  await set(64)
  await set(32, 128 * kMiB)
  await set(256, 64 * kMiB)
  const pids = { controller: 'pids', file: 'pids.max', value: '' }
  if (host.files.has('pids')) assert.equal((await readFile(cgroup.pathOf(pids), 'utf8')).trim(), '256')
  const fresh = await driver.create('fresh')
  if (!(await cgroup.reset())) return
  for (const [controller, names] of host.files) {
    for (const file of names) {
      if (!/limit|max$|quota|period|shares|cpus$|mems$|weight$/.test(file)) continue
      const [was, now] = await Promise.all(
        [fresh, cgroup].map((one) => readFile(one.pathOf({ controller, file, value: '' }), 'utf8').catch(() => '')),
      )
      assert.equal(now, was, file)
    }
  }
})

test('a cgroup that was used is as new after reset', async (t) => {
  if (!needs(t, 'root') || !needs(t, 'cgroup')) return
  const driver = await realDriver(t)
  const cgroup = await driver.create('again')
  const child = await startIn(cgroup, 'head -c 30000000 /dev/zero | tail -c 20000000 > /dev/null')
  await once(child, 'exit')
  await cgroup.killAll('SIGKILL')
  const used = await cgroup.stats()
  assert.ok((used.cpuMicros ?? 1) > 0)
  if (!(await cgroup.reset())) return
  const { cpuMicros, memoryBytes, memoryPeakBytes, oomKills } = await cgroup.stats()
  assert.ok((cpuMicros ?? 0) < 1000, `cpu time ${cpuMicros}`)
  assert.ok(
    (memoryBytes ?? 0) < kMiB && (memoryPeakBytes ?? 0) < kMiB,
    `memory ${memoryBytes}, peak ${memoryPeakBytes}`,
  )
  assert.equal(oomKills ?? 0, 0)
  const second = await startIn(cgroup, 'sleep 100')
  assert.ok((await cgroup.processes()).includes(second.pid ?? -1))
})

test('what uses more memory than its limit is killed, and counted', async (t) => {
  if (!needs(t, 'root') || !needs(t, 'cgroup')) return
  const driver = await realDriver(t)
  const host = await driver.limitHost()
  if (!host.files.has('memory')) return skipOrFail(t, 'no memory controller')
  const cgroup = await driver.create('oom')
  await cgroup.apply(planLimits({ memory: { limit: 8 * kMiB, swap: 8 * kMiB } }, host, 'best-effort').writes)
  const child = await startIn(cgroup, 'head -c 100000000 /dev/zero | tail -c 90000000 > /dev/null')
  await once(child, 'exit')
  const { oomKills, memoryPeakBytes } = await cgroup.stats()
  assert.ok((oomKills ?? 0) > 0)
  assert.ok((memoryPeakBytes ?? 0) <= 8 * kMiB)
})

test('a limit that the kernel refuses is reported with its file', async (t) => {
  if (!needs(t, 'root') || !needs(t, 'cgroup')) return
  const driver = await realDriver(t)
  const host = await driver.limitHost()
  if (!host.files.has('cpuset')) return skipOrFail(t, 'no cpuset controller')
  const cgroup = await driver.create('refused')
  await assert.rejects(cgroup.apply(planLimits({ cpu: { cpus: '99999' } }, host).writes), {
    name: 'SyscallError',
    message: /Setting cpuset\.cpus of cgroup refused to '99999'/,
  })
})

test('a process that is still in it keeps a cgroup from being removed', async (t) => {
  if (!needs(t, 'root') || !needs(t, 'cgroup')) return
  const cgroup = await (await realDriver(t)).create('busy')
  await startIn(cgroup, 'sleep 100')
  await assert.rejects(cgroup.remove(), { name: 'SyscallError', code: 'EBUSY', hint: /processes/ })
  const [procs] = cgroup.procsPaths
  assert.ok(procs)
  await assert.rejects(writeFile(procs, 'nonsense'), { code: 'EINVAL' })
})
