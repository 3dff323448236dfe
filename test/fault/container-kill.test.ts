// SPDX-License-Identifier: MIT
// The owner of containers that outlast a call, its launcher, or process 1 is killed at any instant of create, start, stop, kill,
// restart, pause, resume, rename and remove.
// WHERRY_KILLS=200 kills more often than the default run.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { checkLeftovers, takeStock } from '../helpers/leftovers.ts'
import { until } from '../helpers/until.ts'
import { needsContainers } from '../integration/rootfs.ts'
import { assertClean, ended, read, useFaultRoot } from './fault-root.ts'

const kKills = Number(process.env.WHERRY_KILLS ?? 24)
const kAtOnce = 2
const kProgram = fileURLToPath(new URL('../lifecycle/lasting-process.js', import.meta.url))
const kVictims = ['owner', 'launcher', 'process 1'] as const

checkLeftovers()
const root = useFaultRoot()

interface Churner {
  child: ChildProcess
  marker: string
  /** What it said, line by line. */
  said: () => Record<string, unknown>[]
}

function startChurner(marker: string): Churner {
  const child = spawn(process.execPath, [kProgram, root, 'churn', marker], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
  }
  const said = (): Record<string, unknown>[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => (line.startsWith('{') ? (JSON.parse(line) as Record<string, unknown>) : { unexpected: line }))
  return { child, marker, said }
}

/** Processes that run for a churner's containers; what only waits to be collected by the host's init does not count. */
function processesOf({ marker }: Churner): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && read(`/proc/${name}/cmdline`).includes(`: ${marker};`))
    .filter((name) => !/^State:\s*Z/m.test(read(`/proc/${name}/status`)))
    .map(Number)
}

/** Containers of a churner are as their processes are: none is called running that does not run, and the other way round. */
async function assertTrue(churner: Churner): Promise<void> {
  await using engine = await Engine.open({ root })
  const listed = await Container.list({ engine, all: true, filters: { name: `${churner.marker}-` } })
  for (const { name, status, pid, exitCode, detached } of listed) {
    if (status === 'running' || status === 'paused') {
      assert.ok(detached, `${name} is attached and runs without its owner`)
      assert.ok(pid !== null && processesOf(churner).includes(pid), `${name} has no process`)
    } else if (status === 'exited') assert.ok([0, 7, 137].includes(exitCode ?? -1), `${name} ended with ${exitCode}`)
  }
  const running = listed.filter(({ status }) => status === 'running' || status === 'paused').map(({ pid }) => pid)
  const processes = processesOf(churner)
  assert.deepEqual(
    processes.filter((pid) => !running.includes(pid)),
    [],
    'processes that no container has',
  )
  for (const { id } of listed) await (await Container.get(id, { engine })).remove({ force: true })
}

async function killOne(turn: number): Promise<void> {
  const victim = kVictims[turn % kVictims.length] ?? 'owner'
  const churner = startChurner(`churn${process.pid}x${turn}`)
  const { child, said } = churner
  await until(() => said().length > 0 || child.exitCode !== null, 'it has a launcher')
  const launcher = Number(said()[0]?.launcher)
  const pause = Math.random() * 400
  await delay(pause)
  if (victim === 'launcher') process.kill(launcher, 'SIGKILL')
  if (victim === 'process 1') for (const pid of processesOf(churner)) killIfThere(pid)
  if (victim === 'process 1') await delay(50)
  if (victim !== 'launcher') child.kill('SIGKILL')
  await until(
    () => child.exitCode !== null || child.signalCode !== null,
    `the end of the owner after that of ${victim}`,
  )
  await ended(child)
  const unexpected = said().filter((line) => 'unexpected' in line)
  assert.deepEqual(unexpected, [], `${victim} killed after ${pause} ms`)
  // An attached one that runs is ended by the launcher, which goes on while a detached one runs.
  await until(() => !isAlive(launcher) || processesOf(churner).length > 0, 'the launcher has done its work')
  const deadline = performance.now() + 20_000
  await until(async () => {
    try {
      await assertTrue(churner)
      return true
    } catch (error) {
      if (performance.now() > deadline) throw error
      return false
    }
  }, 'the states are true')
}

/** Cgroups of containers that are kept, which have their ids. */
function containerCgroups(): string[] {
  const parents = takeStock().cgroups.filter((path) => path.endsWith('/wherry'))
  return parents.flatMap((parent) => {
    try {
      return readdirSync(parent)
        .filter((name) => /^[0-9a-f]{64}$/.test(name))
        .map((name) => `${parent}/${name}`)
    } catch {
      return []
    }
  })
}

function isAlive(pid: number): boolean {
  return read(`/proc/${pid}/comm`) !== '' && !/^State:\s*Z/m.test(read(`/proc/${pid}/status`))
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

test(`${kKills} kills of ${kVictims.join(', ')}`, { timeout: 60_000 + kKills * 6_000 }, async (t) => {
  if (!needsContainers(t)) return
  const before = containerCgroups()
  let turn = 0
  const worker = async (): Promise<void> => {
    while (turn < kKills) await killOne(turn++)
  }
  await Promise.all(Array.from({ length: kAtOnce }, worker))
  {
    await using engine = await Engine.open({ root })
    assert.deepEqual(await Container.list({ engine, all: true }), [])
    assert.deepEqual((await engine.verify()).faults, [])
  }
  await assertClean(root)
  const left = (): string[] => containerCgroups().filter((path) => !before.includes(path))
  await until(() => left().length === 0, 'no cgroup is left').catch(() => assert.deepEqual(left(), []))
})
