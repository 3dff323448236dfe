// SPDX-License-Identifier: MIT
// What fails around a start: either nothing runs and the call says why, or it runs and the call succeeds.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Container } from '../../lib/container.ts'
import type { ContainerState } from '../../lib/containers/record.ts'
import { needsContainers, processesWith, useFixture } from '../integration/rootfs.ts'

const kTimeout = { timeout: 20_000 }
const fixture = useFixture()

/** A container whose processes are found by the text. */
function sleeper(text: string, options: object = {}): Promise<Container> {
  const { engine, image } = fixture
  const command = ['/bin/sh', '-c', `: ${text}; while :; do sleep 0.05; done`]
  return Container.create(image, { engine, command, ...options })
}

/** Makes a call of the store fail, as a disk does that is full, once `state.json` says "running" or would. */
function failOnceRunning(t: TestContext, name: 'read' | 'write'): void {
  const { containers } = fixture.engine
  const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
  const [read, write] = [containers.read.bind(containers), containers.write.bind(containers)]
  t.mock.method(containers, 'read', async (id: string) => {
    const stored = await read(id)
    if (name === 'read' && stored.state.status === 'running') throw full
    return stored
  })
  t.mock.method(containers, 'write', async (id: string, state: ContainerState) => {
    if (name === 'write' && state.status === 'running') throw full
    await write(id, state)
  })
}

test('a container whose files cannot be read any more once it runs has been started', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await sleeper('unreadable', { ports: [80], health: { test: 'true' } })
  failOnceRunning(t, 'read')
  await container.start()
  t.mock.reset()
  const { status, ports } = await container.inspect()
  assert.deepEqual([status, container.ports], ['running', ports])
  assert.equal(processesWith('unreadable').length, 1)
})

test('a container whose state cannot be written is not started', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await sleeper('unwritable')
  failOnceRunning(t, 'write')
  await assert.rejects(container.start(), /ENOSPC/)
  t.mock.reset()
  assert.deepEqual(processesWith('unwritable'), [])
  const { status, error } = await container.inspect()
  assert.equal(status, 'created')
  assert.match(error ?? '', /ENOSPC/)
  await container.start()
})

test('a container that nobody could look after is not started', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const { layout } = fixture.engine.store
  await using container = await sleeper('unattended', { detached: true, restart: 'always' })
  const lock = layout.lock.bind(layout)
  t.mock.method(layout, 'lock', (name: string) => (name === 'attendant' ? '/proc/nowhere' : lock(name)))
  await assert.rejects(container.start(), { code: 'ENOENT' })
  t.mock.reset()
  assert.deepEqual(processesWith('unattended'), [])
  assert.equal((await container.inspect()).status, 'created')
})
