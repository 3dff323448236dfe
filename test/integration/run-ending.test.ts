// SPDX-License-Identifier: MIT
// How runs end before their time: time-outs, abort signals, kills; and that the processes are really gone.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { ExitError } from '../../lib/errors.ts'
import { needs } from '../helpers/needs.ts'
import { until } from '../helpers/until.ts'
import { eachSetting, needsContainers, processesWith, useFixture } from './rootfs.ts'

const fixture = useFixture()

async function isGone(marker: string): Promise<void> {
  await until(() => processesWith(marker).length === 0, `no process has ${marker} in its command line`)
}

eachSetting(fixture, 'ends a run after its time', async ({ run, userns, kind }) => {
  const marker = `timeout-marker-${kind}-${userns}`
  const script = `: ${marker}; trap "" TERM INT; echo begun; sleep 100 & setsid sleep 100 & wait`
  const started = performance.now()
  await assert.rejects(run(['/bin/sh', '-c', script], { timeoutMs: 1_500 }), (error) => {
    assert.ok(error instanceof ExitError)
    assert.equal(error.code, 'ERR_TIMEOUT')
    assert.equal(error.timedOut, true)
    assert.equal(error.killSignal, 'SIGKILL')
    assert.equal(error.exitCode === 0, false)
    assert.equal(error.stdout, 'begun\n')
    assert.match(error.message, /1500 ms/)
    return true
  })
  assert.ok(performance.now() - started < 50_000)
  await isGone(marker)
  const result = await run(['sleep', '100'], { timeoutMs: 100, reject: false })
  assert.deepEqual([result.timedOut, result.killSignal], [true, 'SIGKILL'])
  assert.ok(result.durationMs >= 90 && result.durationMs < 50_000)
})

test('a time limit that is not reached changes nothing', async (t) => {
  if (!needsContainers(t)) return
  const result = await fixture.run(['/probe', 'pid'], { timeoutMs: 30_000 })
  assert.equal(result.timedOut, false)
})

eachSetting(fixture, 'an abort ends the run and rejects with its reason', async ({ run, userns, kind }) => {
  const marker = `abort-marker-${kind}-${userns}`
  const controller = new AbortController()
  const reason = new Error('no longer wanted')
  const stdout = new PassThrough()
  stdout.once('data', () => controller.abort(reason))
  const script = `: ${marker}; echo begun; sleep 100 & wait`
  const run1 = run(['/bin/sh', '-c', script], { signal: controller.signal, stdout })
  await assert.rejects(run1, (error) => error === reason)
  await isGone(marker)
  // `reject: false` is about what the program does, not about what the caller does.
  const again = run(['sleep', '100'], { signal: AbortSignal.timeout(100), reject: false })
  await assert.rejects(again, { name: 'TimeoutError' })
})

eachSetting(fixture, 'a signal that is aborted already starts nothing', async ({ run }) => {
  await assert.rejects(run(['sleep', '100'], { signal: AbortSignal.abort('reason') }), (error) => error === 'reason')
  const controller = new AbortController()
  const early = run(['sleep', '101.25'], { signal: controller.signal })
  controller.abort()
  await assert.rejects(early, { name: 'AbortError' })
  await isGone('101.25')
})

test('aborts at any instant of a start', async (t) => {
  if (!needsContainers(t)) return
  for (let delayMs = 0; delayMs < 30; delayMs++) {
    const controller = new AbortController()
    const run = fixture.run(['sleep', '102.25'], { signal: controller.signal })
    setTimeout(() => controller.abort(), delayMs)
    await assert.rejects(run, { name: 'AbortError' })
  }
  await isGone('102.25')
})

test('an abort after the end is nothing, and no listener stays', async (t) => {
  if (!needsContainers(t)) return
  const controller = new AbortController()
  let added = 0
  const { signal } = controller
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    added++
    add(...args)
  }
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    added--
    remove(...args)
  }
  for (let i = 0; i < 5; i++) await fixture.run(['/probe', 'pid'], { signal })
  assert.equal(added, 0)
  controller.abort()
})

eachSetting(fixture, 'tells when the program is killed from outside', async ({ run, userns, kind }) => {
  const marker = `1${kind.length}${userns.length}.75`
  const killAll = async (): Promise<void> => {
    await until(() => processesWith(marker).length > 0, 'the program runs')
    for (const pid of processesWith(marker)) process.kill(Number(pid), 'SIGKILL')
  }
  const running = run(['sleep', marker], { reject: false })
  await killAll()
  const { killSignal, exitCode } = await running
  assert.equal(killSignal, 'SIGKILL')
  assert.ok(exitCode === null || exitCode === 137, `exit code ${exitCode}`)
  const rejected = run(['sleep', marker])
  await Promise.all([killAll(), assert.rejects(rejected, { code: 'ERR_EXIT', message: /SIGKILL/ })])
})

eachSetting(
  fixture,
  'tells when the program crashes',
  async ({ run }, t) => {
    if (!needs(t, 'command:perl')) return
    const crash = ['perl', '-e', 'print unpack "p", pack "L!", 1']
    const { killSignal, exitCode } = await run(crash, { reject: false })
    assert.equal(killSignal, 'SIGSEGV')
    assert.ok(exitCode === null || exitCode === 139, `exit code ${exitCode}`)
  },
  ['host'],
)

eachSetting(fixture, 'a signal from outside reaches a first process that handles it', async (setting) => {
  const {
    fixture: { engine },
    image,
    userns,
    kind,
    probe,
  } = setting
  const marker = `8${kind.length}${userns.length}`
  const stdout = new PassThrough()
  const options = { engine, userns, stdout, reject: false } as const
  const running = Container.run(image, [probe, 'trap', '12', '34', marker], options)
  await new Promise((resolve) => stdout.once('data', resolve))
  for (const pid of processesWith(`trap\0${12}\0${34}\0${marker}`)) process.kill(Number(pid), 'SIGUSR2')
  assert.equal((await running).exitCode, 34)
})

eachSetting(fixture, 'the first process reaps orphans and passes the exit code on', async ({ run, probe, sh }) => {
  assert.match((await run([probe, 'pid'], { init: true })).stdout, /^pid=2 ppid=1 /)
  assert.equal((await run([probe, 'exit', '42'], { init: true, reject: false })).exitCode, 42)
  // Without init the orphans of a program that does not wait for them stay; with it they are gone.
  const zombies = `${probe} zombie-maker 5 1 >/dev/null & P=$!; until grep -qs "^State:.S" /proc/$P/status; do :; done
    count() { cat /proc/[0-9]*/status 2>/dev/null | grep -c "^State:.Z" || true; }
    i=0; while n=$(count); [ "$n" != 0 ] && [ $i -lt 100 ]; do i=$((i + 1)); sleep 0.1; done; echo $n; kill $P`
  assert.equal(await sh(zombies, { init: true }), '0\n')
  const killed = await run(['/bin/sh', '-c', 'kill -KILL $$'], { init: true, reject: false })
  assert.equal(killed.exitCode === 137 || killed.killSignal === 'SIGKILL', true, JSON.stringify(killed))
  await assert.rejects(run(['no-such-program'], { init: true }), { code: 'ERR_CONTAINER_START', exitCode: 127 })
})

eachSetting(fixture, 'init passes signals on', async ({ fixture: { engine }, image, userns, kind, probe }) => {
  const marker = `9${kind.length}${userns.length}`
  const stdout = new PassThrough()
  const options = { engine, userns, init: true, stdout, reject: false } as const
  const running = Container.run(image, [probe, 'trap', '10', '33', marker], options)
  await new Promise((resolve) => stdout.once('data', resolve))
  const inits = await parentsOf(processesWith(`trap\0${10}\0${33}\0${marker}`))
  assert.equal(inits.length, 1)
  for (const pid of inits) process.kill(pid, 'SIGUSR1')
  const { exitCode } = await running
  assert.equal(exitCode, 33)
})

/** Parents that are the first process of another pid namespace. */
async function parentsOf(pids: readonly string[]): Promise<number[]> {
  const parents = await Promise.all(
    pids.map(async (pid) => {
      const status = await readFile(`/proc/${pid}/status`, 'utf8')
      const parent = /^PPid:\t(\d+)$/m.exec(status)?.[1] ?? '0'
      const levels = (await readFile(`/proc/${parent}/status`, 'utf8')).match(/^NSpid:\t(.*)$/m)?.[1]?.split('\t') ?? []
      return levels.length > 1 && levels.at(-1) === '1' ? Number(parent) : 0
    }),
  )
  return parents.filter((pid) => pid !== 0)
}
