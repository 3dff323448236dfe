// SPDX-License-Identifier: MIT
// What a container runs and uses, seen from outside, through the public class.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Container, type ContainerStats, InvalidOptionError } from '../../lib/index.ts'
import { needs } from '../helpers/needs.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

test('processes and use of a container', async (t) => {
  if (!needsContainers(t) || !needs(t, 'root', 'cgroup')) return
  const { engine } = fixture
  const command = ['sh', '-c', 'while :; do :; done']
  await using container = await Container.start(fixture.image, { engine, command, memory: '64m', pids: 50 })
  const { pid } = await container.inspect()

  await t.test('top lists all of its processes as the host sees them', async () => {
    const sleep = await container.spawn(['sleep', '1000'], { tty: true })
    const { titles, processes } = await container.top()
    assert.deepEqual(titles, ['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD'])
    const rows = processes.map((row) => [row[1], row[7], row[5]])
    assert.deepEqual(new Set(rows.map(([id]) => id)), new Set([String(pid), String(sleep.pid)]))
    assert.deepEqual(rows.find(([id]) => id === String(pid))?.slice(1), ['sh -c while :; do :; done', '?'])
    assert.match(rows.find(([id]) => id === String(sleep.pid))?.[2] ?? '', /^pts\/\d+$/)
    sleep.kill('SIGKILL')
    await sleep.wait()
  })
  await t.test('a look tells what it uses', async () => {
    const { cpu, memory, pids, network } = await container.stats({ overMs: 200 })
    assert.ok((cpu.usageMicros ?? 0) > 0)
    assert.ok((cpu.percent ?? 0) > 0 && (cpu.percent ?? 1000) <= 100 * cpu.onlineCpus, String(cpu.percent))
    assert.equal(memory.limitBytes, 64 * 1024 ** 2)
    assert.ok((memory.usageBytes ?? 0) > 0 && (memory.usageBytes ?? 0) < memory.limitBytes)
    assert.deepEqual(pids, { current: 1, limit: 50 })
    assert.deepEqual(network, { receivedBytes: 0, sentBytes: 0 })
    assert.equal((await container.stats({ overMs: 0 })).cpu.percent, null)
  })
  await t.test('bad options are refused, and an abort ends a look', async () => {
    await assert.rejects(container.stats({ overMs: -1 }), InvalidOptionError)
    await assert.rejects(async () => {
      for await (const _ of container.stats({ everyMs: 0 })) assert.fail('it was taken')
    }, InvalidOptionError)
    const reason = new Error('enough')
    await assert.rejects(container.stats({ overMs: 60_000, signal: AbortSignal.abort(reason) }), reason)
    const stop = new AbortController()
    const looking = container.stats({ overMs: 60_000, signal: stop.signal })
    setImmediate(() => stop.abort(reason))
    await assert.rejects(looking, reason)
  })
  await t.test('one look after the other ends with the container', async () => {
    const seen: ContainerStats[] = []
    for await (const each of container.stats({ everyMs: 50 })) {
      seen.push(each)
      if (seen.length === 3) await container.kill()
    }
    assert.ok(seen.length >= 3)
    assert.deepEqual([seen[0]?.cpu.percent, typeof seen[1]?.cpu.percent], [null, 'number'])
  })
})

test('the network of the host is nobody’s', async (t) => {
  if (!needsContainers(t) || !needs(t, 'root', 'cgroup')) return
  const { engine, image } = fixture
  await using container = await Container.start(image, { engine, command: ['sleep', '1000'], network: 'host' })
  assert.equal((await container.stats({ overMs: 0 })).network, null)
})
