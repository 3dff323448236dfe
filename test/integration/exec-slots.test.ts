// SPDX-License-Identifier: MIT
// The process that waits in a container for the next program.
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { LauncherChild } from '../../lib/launcher/launcher-child.ts'
import type { ExecSlot } from '../../lib/runtime/exec-slots.ts'
import type { ExecTarget } from '../../lib/runtime/exec-target.ts'
import { skipOrFail } from '../helpers/needs.ts'
import { until } from '../helpers/until.ts'
import { execCgroups, type Inside, inContainer } from './exec-fixtures.ts'
import { eachSetting, needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

async function untilOneWaits(inside: Inside): Promise<number> {
  for (let i = 0; i < 2; i++) await inside.exec(['/bin/true'])
  return await nextWaiting(inside)
}

/** Sends a signal and waits for what it does. Nothing else of this process goes on until then, so nobody can have told us. */
function signalNow(pid: number, signal: 'SIGKILL' | 'SIGSTOP'): void {
  process.kill(pid, signal)
  while (!(signal === 'SIGSTOP' ? ['T'] : ['Z', 'X', undefined]).includes(stateOf(pid))) {
    // It takes microseconds.
  }
}

/** One letter, as in proc(5); `undefined` where there is no such process. */
function stateOf(pid: number): string | undefined {
  try {
    return /\) (\w) /.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1]
  } catch {
    return undefined
  }
}

/** Kills a process that waits as soon as its plan has been sent; it cannot read that. */
function killUnread(child: LauncherChild): void {
  signalNow(child.pid, 'SIGSTOP')
  const start = child.start.bind(child)
  Object.assign(child, {
    kill: () => undefined,
    start: (...args: Parameters<typeof start>) => {
      const started = start(...args)
      process.kill(child.pid, 'SIGKILL')
      return started
    },
  })
}

function freezerFile({ target: { cgroup } }: Inside, freezer: 'v1' | 'v2'): string | undefined {
  const file = freezer === 'v1' ? 'freezer.state' : 'cgroup.freeze'
  return cgroup?.dirs.map((dir) => join(dir, file)).find((path) => existsSync(path))
}

async function inTime(work: Promise<void>): Promise<void> {
  let isDone = false
  void work.finally(() => {
    isDone = true
  })
  await until(() => isDone, 'it is done')
}

async function nextWaiting({ runtime, target }: Inside): Promise<number> {
  await until(() => runtime.execs.slots.waiting(target) !== undefined, 'one waits')
  return runtime.execs.slots.waiting(target) ?? 0
}

eachSetting(fixture, 'the next program runs in the process that waits', async (setting) => {
  await inContainer(setting, async (inside) => {
    const pid = await untilOneWaits(inside)
    const program = await inside.spawn(['/bin/sh', '-c', 'read line; exit 3'], { stdin: 'pipe', env: { A: 'b' } })
    assert.equal(program.pid, pid)
    assert.match(readFileSync(`/proc/${pid}/cmdline`, 'latin1'), /read line/)
    assert.match(readFileSync(`/proc/${pid}/environ`, 'latin1'), /(^|\0)A=b\0/)
    program.stdin?.end('x\n')
    assert.equal((await program.exited).exit.exitCode, 3)
  })
})

eachSetting(fixture, 'one that was stopped meanwhile does no harm', async (setting) => {
  await inContainer(setting, async (inside) => {
    const pid = await untilOneWaits(inside)
    process.kill(pid, 'SIGSTOP')
    const program = await inside.spawn(['/bin/sh', '-c', 'exit 3'])
    assert.equal(program.pid, pid)
    assert.equal((await program.exited).exit.exitCode, 3)
    process.kill(await nextWaiting(inside), 'SIGSTOP')
    await inside.runtime.execs.slots.clear()
    await until(() => execCgroups(inside.target).length === 0, 'nothing is left of it')
  })
})

eachSetting(fixture, 'one that was killed meanwhile does no harm', async (setting, t) => {
  await inContainer(setting, async (inside) => {
    const { slots } = inside.runtime.execs
    process.kill(await untilOneWaits(inside), 'SIGKILL')
    await until(() => slots.waiting(inside.target) === undefined, 'that is known')
    assert.equal(await inside.sh('echo known'), 'known\n')
    for (const when of ['before its plan is sent', 'before it has read its plan']) {
      await nextWaiting(inside)
      const take = slots.take.bind(slots)
      t.mock.method(slots, 'take', (...args: Parameters<typeof take>) => {
        const slot = take(...args)
        assert.ok(slot !== undefined)
        if (when === 'before its plan is sent') signalNow(slot.child.pid, 'SIGKILL')
        else killUnread(slot.child)
        return slot
      })
      assert.equal(await inside.sh(`echo ${when}`), `${when}\n`)
      t.mock.restoreAll()
    }
  })
})

eachSetting(fixture, 'one that cannot be told what to run ends', async (setting, t) => {
  await inContainer(setting, async (inside) => {
    const { runtime } = inside
    const pid = await untilOneWaits(inside)
    t.mock.method(runtime.native, 'memfd', () => {
      throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' })
    })
    // A plan that does not fit in a message.
    await assert.rejects(inside.exec(['/bin/true'], { env: { LONG: 'x'.repeat(100_000) } }), { code: 'EMFILE' })
    t.mock.restoreAll()
    await until(() => !existsSync(`/proc/${pid}`), 'it has ended')
    await until(() => execCgroups(inside.target).length === 0, 'so has its cgroup')
    assert.equal(await inside.sh('echo next'), 'next\n')
  })
})

for (const freezer of ['v2', 'v1'] as const) {
  test(`one that is frozen, or is being made in a frozen container, is not waited for (${freezer})`, async (t) => {
    if (!needsContainers(t)) return
    const setting = { fixture, image: fixture.image, userns: 'auto' } as const
    await inContainer(setting, async (inside) => {
      const path = freezerFile(inside, freezer)
      if (path === undefined) return skipOrFail(t, `no freezer of cgroup ${freezer}`)
      const { slots } = inside.runtime.execs
      const [frozen, thawed] = freezer === 'v2' ? ['1', '0'] : ['FROZEN', 'THAWED']
      const refill = slots.refill.bind(slots)
      let make: (() => Promise<ExecSlot>) | undefined
      t.mock.method(slots, 'refill', (target: ExecTarget, wanted: () => Promise<ExecSlot>) => {
        make = wanted
        refill(target, wanted)
      })
      const pid = await untilOneWaits(inside)
      assert.ok(make !== undefined)
      writeFileSync(path, frozen)
      try {
        await inTime(slots.clear())
        // Containers that are known to be paused are not entered, but one may be paused meanwhile.
        for (let i = 0; i < 2; i++) slots.take(inside.target)
        slots.refill(inside.target, make)
        await inTime(slots.clear())
      } finally {
        writeFileSync(path, thawed)
      }
      await until(() => !existsSync(`/proc/${pid}`) && execCgroups(inside.target).length === 0, 'both have ended')
    })
  })
}

test('nobody waits in a container that may have few processes', async (t) => {
  if (!needsContainers(t)) return
  const setting = { fixture, image: fixture.image, userns: 'auto' } as const
  const body = async (inside: Inside): Promise<void> => {
    for (let i = 0; i < 4; i++) await inside.exec(['/bin/true'])
    await until(() => execCgroups(inside.target).length === 0, 'nothing waits')
  }
  await inContainer(setting, body, { pids: 20 })
})
