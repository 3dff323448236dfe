// SPDX-License-Identifier: MIT
// Engines in worker threads, and what is left when the thread is terminated.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { assertRepaired, cgroupsOf, useFaultRoot } from '../fault/fault-root.ts'
import { checkLeftovers, leavesNothing } from '../helpers/leftovers.ts'
import { until } from '../helpers/until.ts'
import { needsContainers, processesWith } from '../integration/rootfs.ts'

checkLeftovers()
const root = useFaultRoot()

interface Hello {
  stdout: string
  launcher: number
  session: string
}

function startWorker(marker: string): Worker {
  return new Worker(new URL('./worker-thread.js', import.meta.url), { workerData: { root, marker } })
}

test('an engine in a worker thread', { timeout: 120_000 }, async (t) => {
  if (!needsContainers(t)) return
  await leavesNothing(async () => {
    const workers = [startWorker(''), startWorker('')]
    const ends = workers.map((worker) => once(worker, 'exit') as Promise<[number]>)
    const hellos = (await Promise.all(workers.map((worker) => once(worker, 'message')))) as [Hello][]
    assert.deepEqual(
      hellos.map(([{ stdout }]) => stdout),
      ['from a worker\n', 'from a worker\n'],
    )
    for (const [exitCode] of await Promise.all(ends)) assert.equal(exitCode, 0)
  })
})

test('a worker thread that is terminated leaves nothing', { timeout: 120_000 }, async (t) => {
  if (!needsContainers(t)) return
  for (let i = 0; i < 5; i++) {
    await leavesNothing(async () => {
      const marker = `worker-marker-${process.pid}-${i}`
      const worker = startWorker(marker)
      const [{ session }] = (await once(worker, 'message')) as [Hello]
      await until(() => processesWith(marker).length > 0, 'the container runs')
      await worker.terminate()
      await until(() => processesWith(marker).length === 0, 'the container is dead')
      await until(() => cgroupsOf(session).length === 0, 'its cgroups are gone')
    })
  }
  await assertRepaired(root)
})

// A call of the addon that is under way then must neither end the process nor lose what it has opened.
test('worker threads terminated at any instant leave nothing', { timeout: 240_000 }, async (t) => {
  if (!needsContainers(t)) return
  await leavesNothing(async () => {
    for (let i = 0; i < 12; i++) {
      const worker = startWorker('busy')
      const [{ session }] = (await once(worker, 'message')) as [Hello]
      await setTimeout(i * 5)
      await worker.terminate()
      await until(() => cgroupsOf(session).length === 0, 'its cgroups are gone')
    }
  })
  await assertRepaired(root)
})
