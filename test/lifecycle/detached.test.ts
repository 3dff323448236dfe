// SPDX-License-Identifier: MIT
// Detached containers live on when their owner ends, however it ends; any other process on the root looks after them.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { NotFoundError } from '../../lib/errors.ts'
import { assertClean, ended, useFaultRoot } from '../fault/fault-root.ts'
import { checkLeftovers, takeStock } from '../helpers/leftovers.ts'
import { runOk } from '../helpers/run-child.ts'
import { until } from '../helpers/until.ts'
import { needsContainers } from '../integration/rootfs.ts'
import { linesOf } from './lasting.ts'

const kTimeout = { timeout: 120_000 }
const kProgram = fileURLToPath(new URL('./lasting-process.js', import.meta.url))

checkLeftovers()
const root = useFaultRoot()

interface Owned {
  launcher: number
  session: string
  started: { name: string; id: string; pid: number }[]
}

async function startOwner(...names: string[]): Promise<{ child: ChildProcess; owned: Owned }> {
  const child = spawn(process.execPath, [kProgram, root, 'own', ...names], { stdio: ['pipe', 'pipe', 'inherit'] })
  let text = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  await until(() => text.includes('\n') || child.exitCode !== null, 'the containers run')
  return { child, owned: JSON.parse(text) as Owned }
}

/** What another process on the root finds. */
async function elsewhere(...args: string[]): Promise<Record<string, unknown>> {
  const text = await runOk(process.execPath, [kProgram, root, ...args])
  return text === '' ? {} : (JSON.parse(text.trim().split('\n').at(-1) ?? '{}') as Record<string, unknown>)
}

function cgroupsOf({ started }: Owned): string[] {
  return takeStock().cgroups.filter((path) => started.some(({ id }) => path.includes(id)))
}

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`)
const kWays: readonly [name: string, end: (child: ChildProcess) => unknown][] = [
  ['closes its engine', (child) => child.stdin?.end()],
  ['is killed', (child) => child.kill('SIGKILL')],
  ['gets SIGTERM', (child) => child.kill('SIGTERM')],
]

for (const [name, end] of kWays) {
  test(`the owner ${name}`, kTimeout, async (t) => {
    if (!needsContainers(t)) return
    await using engine = await Engine.open({ root })
    const { child, owned } = await startOwner('stays:detached', 'goes:attached')
    const [stays, goes] = owned.started
    assert.ok(stays !== undefined && goes !== undefined)
    end(child)
    await ended(child)
    await until(() => !isAlive(goes.pid), 'the attached one ends')
    assert.ok(isAlive(stays.pid) && isAlive(owned.launcher))
    const [here, gone] = await Promise.all(['stays', 'goes'].map((each) => Container.get(each, { engine })))
    assert.ok(here !== undefined && gone !== undefined)
    const found = await here.inspect()
    assert.deepEqual([found.status, found.pid], ['running', stays.pid])
    const { status, exitCode, killSignal } = await gone.inspect()
    assert.deepEqual([status, exitCode, killSignal], ['exited', 137, 'SIGKILL'])
    await here.stop()
    assert.equal((await here.wait()).exitCode, 7)
    await until(() => !isAlive(owned.launcher), 'the launcher ends after the last one')
    await here.remove()
    await gone.remove()
    // As an engine that opens now would do.
    await engine.store.repair()
    await assertClean(root, owned.session)
    assert.deepEqual(cgroupsOf(owned), [])
  })
}

test('other processes look after it', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { child, owned } = await startOwner('stays:detached')
  child.kill('SIGKILL')
  await ended(child)
  assert.equal((await elsewhere('pause', 'stays')).status, 'paused')
  const waiting = elsewhere('wait', 'stays')
  const following = runOk(process.execPath, [kProgram, root, 'follow', 'stays'])
  const stopped = await elsewhere('stop', 'stays')
  assert.deepEqual([stopped.status, stopped.exitCode], ['exited', 7])
  assert.equal((await waiting).exitCode, 7)
  assert.equal(await following, '"ready"\n"got 15"\n')
  await until(() => !isAlive(owned.launcher), 'the launcher ends after the last one')
  await elsewhere('remove', 'stays')
  await assertClean(root)
  assert.deepEqual(cgroupsOf(owned), [])
})

test('one that is removed by itself goes with its end, or when the next one looks', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { child, owned } = await startOwner('auto:detached:auto', 'auto-attached:attached:auto')
  child.kill('SIGKILL')
  await ended(child)
  const [auto, attached] = owned.started
  assert.ok(auto !== undefined && attached !== undefined)
  await until(() => !isAlive(attached.pid), 'the attached one ends')
  await using engine = await Engine.open({ root })
  const container = await Container.get('auto', { engine })
  const exit = elsewhere('wait', 'auto')
  await container.stop()
  assert.deepEqual(await Container.list({ engine, all: true }), [])
  await until(() => !existsSync(`${root}/containers/${auto.id}`), 'it is removed')
  // Who waits in another process is told all the same, or finds that it has gone before it could look.
  const told = await exit.catch((error: unknown) => String(error))
  assert.ok(typeof told === 'string' ? told.includes('ERR_NOT_FOUND') : told.exitCode === 7, String(told))
  await until(() => !existsSync(`${root}/containers/${attached.id}`), 'it is removed')
  await until(() => !isAlive(owned.launcher), 'the launcher ends')
})

test(
  'a launcher that is killed takes its containers along; the next engine tells so and clears up',
  kTimeout,
  async (t) => {
    if (!needsContainers(t)) return
    const { child, owned } = await startOwner('one:detached', 'two:attached')
    child.kill('SIGKILL')
    await ended(child)
    process.kill(owned.launcher, 'SIGKILL')
    for (const { pid } of owned.started) await until(() => !isAlive(pid) || isZombie(pid), 'its containers end')
    const { faults, states, left } = await (async () => {
      await using engine = await Engine.open({ root })
      const listed = await Container.list({ engine, all: true })
      const cgroups = cgroupsOf(owned)
      const container = await Container.get('one', { engine })
      assert.deepEqual(await linesOf(container), ['ready'])
      await container.start()
      await container.stop()
      assert.equal((await container.wait()).oomKilled, false)
      for (const { id } of listed) await (await Container.get(id, { engine })).remove()
      return { faults: (await engine.verify()).faults, states: listed, left: cgroups }
    })()
    assert.deepEqual(
      states.map(({ status, exitCode }) => [status, exitCode]),
      [
        ['exited', 137],
        ['exited', 137],
      ],
    )
    assert.deepEqual([faults, left], [[], []])
    await assertClean(root)
  },
)

test('a container whose launcher was killed can be removed without more', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using engine = await Engine.open({ root })
  const { child, owned } = await startOwner('one:detached')
  child.kill('SIGKILL')
  process.kill(owned.launcher, 'SIGKILL')
  await ended(child)
  const container = await Container.get('one', { engine })
  assert.equal((await container.wait()).exitCode, 137)
  await container.remove()
  await assert.rejects(container.inspect(), NotFoundError)
  assert.deepEqual(cgroupsOf(owned), [])
})

function isZombie(pid: number): boolean {
  return takeStock().contained.every((line) => !line.startsWith(`${pid} `))
}
