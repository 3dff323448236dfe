// SPDX-License-Identifier: MIT
// Limits: memory, processes, CPU time, resource limits of the process; usage.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { needs } from '../helpers/needs.ts'
import { eachSetting, needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

eachSetting(fixture, 'a memory limit ends the program, and the result says why', async ({ run, probe }, t) => {
  if (!needs(t, 'cgroup')) return
  const options = { memory: '24m', memorySwap: '24m' }
  const fits = await run([probe, 'memhog', '8'], options)
  assert.deepEqual([fits.stdout, fits.oomKilled], ['touched 8 MiB\n', false])
  const over = await run([probe, 'memhog', '64'], { ...options, reject: false })
  assert.deepEqual([over.oomKilled, over.killSignal, over.stdout], [true, 'SIGKILL', ''])
  await assert.rejects(run([probe, 'memhog', '64'], options), {
    oomKilled: true,
    message: /out of memory.*raise 'memory'/,
  })
  // A child of the shell is killed, the shell lives on.
  const child = await run(['/bin/sh', '-c', `${probe} memhog 64; echo "status $?"`], { ...options, reject: false })
  assert.deepEqual([child.oomKilled, child.stdout], [true, 'status 137\n'])
  assert.equal((await run([probe, 'memhog', '64'])).stdout, 'touched 64 MiB\n')
})

eachSetting(fixture, 'a limit of processes stops a fork bomb', async ({ run, probe }, t) => {
  if (!needs(t, 'cgroup')) return
  const { stdout } = await run([probe, 'forkbomb', '500'], { pids: 20 })
  assert.match(stdout, /^19 of 500 Resource temporarily unavailable/)
  const bomb = ': bomb; f() { f | f & }; f; sleep 1; echo alive'
  const { stdout: after } = await run(['/bin/sh', '-c', bomb], { pids: 30, reject: false, timeoutMs: 60_000 })
  assert.ok(after === 'alive\n' || after === '')
  assert.equal((await run([probe, 'forkbomb', '100'])).stdout, '100 of 100\n')
})

eachSetting(fixture, 'a CPU quota slows the program down', async ({ run, probe }, t) => {
  if (!needs(t, 'cgroup')) return
  const { usage, timedOut, durationMs } = await run([probe, 'spin'], { cpus: 0.2, timeoutMs: 1_500, reject: false })
  assert.equal(timedOut, true)
  // A fifth of the time that it had, which may be longer on a busy machine; a period or two may be over-spent.
  assert.ok(usage.cpuMicros > 10_000 && usage.cpuMicros < 0.2 * durationMs * 1000 + 300_000, `${usage.cpuMicros} µs`)
  await assert.rejects(run([probe, 'pid'], { cpus: 10_000 }), { code: 'ERR_INVALID_OPTION', option: 'cpus' })
})

test('a set of CPUs is kept to', async (t) => {
  if (!needsContainers(t) || !needs(t, 'cgroup')) return
  assert.match(await fixture.sh('cat /proc/self/status', { cpuset: '0' }), /^Cpus_allowed_list:\t0$/m)
  const missing = String(availableParallelism() + 500)
  await assert.rejects(fixture.run(['/probe', 'pid'], { cpuset: missing }))
})

test('limits that go together', async (t) => {
  if (!needsContainers(t) || !needs(t, 'cgroup')) return
  const limits = { memory: '64m', memoryReservation: '32m', cpus: 1, cpuShares: 512, pids: 50 }
  for (let i = 0; i < 5; i++) assert.match((await fixture.run(['/probe', 'pid'], limits)).stdout, /^pid=1/)
  const many = await Promise.all(
    Array.from({ length: 10 }, (_, i) => fixture.run(['/probe', 'echo', String(i)], limits)),
  )
  assert.deepEqual(
    many.map(({ stdout }) => stdout.trim()),
    Array.from({ length: 10 }, (_, i) => String(i)),
  )
})

eachSetting(fixture, 'sets resource limits of the process', async ({ sh, run, probe }) => {
  const limits = await sh('cat /proc/self/limits', {
    ulimits: { nofile: 99, NPROC: { soft: 50, hard: 60 }, core: 0, stack: { soft: 4_194_304, hard: 8_388_608 } },
  })
  assert.match(limits, /^Max open files +99 +99 /m)
  assert.match(limits, /^Max processes +50 +60 /m)
  assert.match(limits, /^Max core file size +0 +0 /m)
  assert.match(limits, /^Max stack size +4194304 +8388608 /m)
  await assert.rejects(run([probe, 'pid'], { ulimits: { nofile: { soft: 5, hard: 4 } } }), {
    code: 'ERR_INVALID_OPTION',
  })
})

eachSetting(fixture, 'sets how willing the kernel is to kill it', async ({ sh }) => {
  assert.equal(await sh('cat /proc/self/oom_score_adj', { oomScoreAdj: 555 }), '555\n')
  const own = readFileSync('/proc/self/oom_score_adj', 'utf8')
  assert.equal(await sh('cat /proc/self/oom_score_adj'), own)
})

eachSetting(fixture, 'counts what a run used', async ({ run, probe }) => {
  const { usage, durationMs } = await run([probe, 'memhog', '32'])
  assert.ok(usage.maxRssBytes > 32 * 1024 * 1024 && usage.maxRssBytes < 128 * 1024 * 1024, String(usage.maxRssBytes))
  assert.equal(usage.cpuMicros, usage.userMicros + usage.systemMicros)
  assert.ok(usage.cpuMicros > 0 && usage.cpuMicros < durationMs * 1_000 * 2 + 20_000)
})
