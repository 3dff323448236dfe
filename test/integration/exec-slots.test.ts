// SPDX-License-Identifier: MIT
// The process that waits in a container for the next program.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { until } from '../helpers/until.ts'
import { execCgroups, type Inside, inContainer } from './exec-fixtures.ts'
import { eachSetting, needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

async function untilOneWaits(inside: Inside): Promise<number> {
  for (let i = 0; i < 2; i++) await inside.exec(['/bin/true'])
  return await nextWaiting(inside)
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

eachSetting(fixture, 'one that was killed or stopped meanwhile does no harm', async (setting) => {
  await inContainer(setting, async (inside) => {
    process.kill(await untilOneWaits(inside), 'SIGSTOP')
    assert.equal(await inside.sh('echo stopped'), 'stopped\n')
    process.kill(await nextWaiting(inside), 'SIGKILL')
    await until(() => inside.runtime.execs.slots.waiting(inside.target) === undefined, 'that is known')
    assert.equal(await inside.sh('echo killed'), 'killed\n')
  })
})

test('nobody waits in a container that may have few processes', async (t) => {
  if (!needsContainers(t)) return
  const setting = { fixture, image: fixture.image, userns: 'auto' } as const
  const body = async (inside: Inside): Promise<void> => {
    for (let i = 0; i < 4; i++) await inside.exec(['/bin/true'])
    await until(() => execCgroups(inside.target).length === 0, 'nothing waits')
  }
  await inContainer(setting, body, { pids: 20 })
})
