// SPDX-License-Identifier: MIT
// Every method of a container in every state, attached and detached: it works, or says in which states it would.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { ContainerStateError, NotFoundError } from '../../lib/errors.ts'
import { needsContainers, useFixture } from '../integration/rootfs.ts'
import { firstLine, linesOf, untilTerm } from './lasting.ts'

const fixture = useFixture()

const kStates = ['created', 'running', 'paused', 'restarting', 'exited', 'removed'] as const
type State = (typeof kStates)[number]

/** The state afterwards, or those in which the method would work. */
type Outcome = State | readonly State[]

interface Method {
  name: string
  call: (container: Container) => Promise<unknown>
  outcomes: Record<Exclude<State, 'removed'>, Outcome>
}

const kStartable = ['created', 'exited', 'restarting'] as const
const kEnded = ['created', 'exited'] as const
const kLive = ['running', 'paused'] as const

const kMethods: readonly Method[] = [
  {
    name: 'start',
    call: (container) => container.start(),
    outcomes: { created: 'running', running: kStartable, paused: kStartable, restarting: 'running', exited: 'running' },
  },
  {
    // As Docker: to stop what does not run is no error; what is paused goes on to hear its stop signal.
    name: 'stop',
    call: (container) => container.stop(),
    outcomes: { created: 'created', running: 'exited', paused: 'exited', restarting: 'exited', exited: 'exited' },
  },
  {
    name: 'kill',
    call: async (container) => {
      await container.kill()
      await container.wait()
    },
    outcomes: { created: kLive, running: 'exited', paused: 'exited', restarting: 'exited', exited: kLive },
  },
  {
    name: 'kill with a signal that is ignored',
    call: (container) => container.kill('SIGUSR1'),
    outcomes: { created: kLive, running: 'running', paused: 'paused', restarting: kLive, exited: kLive },
  },
  {
    name: 'restart',
    call: (container) => container.restart(),
    outcomes: { created: 'running', running: 'running', paused: 'running', restarting: 'running', exited: 'running' },
  },
  {
    name: 'pause',
    call: (container) => container.pause(),
    outcomes: {
      created: ['running'],
      running: 'paused',
      paused: ['running'],
      restarting: ['running'],
      exited: ['running'],
    },
  },
  {
    name: 'resume',
    call: (container) => container.resume(),
    outcomes: {
      created: ['paused'],
      running: ['paused'],
      paused: 'running',
      restarting: ['paused'],
      exited: ['paused'],
    },
  },
  {
    // For one that was never started at once, as Docker's default condition `not-running`: nothing says that anybody will.
    name: 'wait',
    call: async (container) => {
      const { status } = await container.inspect()
      if (status === 'created' || status === 'exited') return container.wait()
      await assert.rejects(container.wait({ signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' })
    },
    outcomes: { created: 'created', running: 'running', paused: 'paused', restarting: 'restarting', exited: 'exited' },
  },
  {
    name: 'remove',
    call: (container) => container.remove(),
    outcomes: { created: 'removed', running: kEnded, paused: kEnded, restarting: kEnded, exited: 'removed' },
  },
  {
    name: 'remove by force',
    call: (container) => container.remove({ force: true }),
    outcomes: { created: 'removed', running: 'removed', paused: 'removed', restarting: 'removed', exited: 'removed' },
  },
  {
    name: 'rename',
    call: async (container) => {
      await container.rename(`other-${container.id.slice(0, 12)}`)
      assert.equal((await container.inspect()).name, `other-${container.id.slice(0, 12)}`)
    },
    outcomes: { created: 'created', running: 'running', paused: 'paused', restarting: 'restarting', exited: 'exited' },
  },
  {
    name: 'inspect',
    call: (container) => container.inspect(),
    outcomes: { created: 'created', running: 'running', paused: 'paused', restarting: 'restarting', exited: 'exited' },
  },
  {
    name: 'logs',
    call: async (container) => {
      const { status } = await container.inspect()
      const expected = {
        created: [],
        running: ['ready'],
        paused: ['ready'],
        restarting: [],
        exited: ['ready', 'got 15'],
      }
      assert.deepEqual(await linesOf(container), expected[status])
    },
    outcomes: { created: 'created', running: 'running', paused: 'paused', restarting: 'restarting', exited: 'exited' },
  },
  {
    name: 'attach',
    call: async (container) => (await container.attach()).detach(),
    outcomes: { created: kLive, running: 'running', paused: 'paused', restarting: kLive, exited: kLive },
  },
  {
    name: 'top',
    call: (container) => container.top(),
    outcomes: { created: kLive, running: 'running', paused: 'paused', restarting: kLive, exited: kLive },
  },
  {
    name: 'stats',
    call: (container) => container.stats({ overMs: 0 }),
    outcomes: { created: kLive, running: 'running', paused: 'paused', restarting: kLive, exited: kLive },
  },
  {
    name: 'exec and leave it there',
    call: (container) => container.execDetached(['sleep', '1000']),
    outcomes: {
      created: ['running'],
      running: 'running',
      paused: ['running'],
      restarting: ['running'],
      exited: ['running'],
    },
  },
]

async function make(state: State, detached: boolean): Promise<Container> {
  const { engine, image } = fixture
  const restart = state === 'restarting' ? 'always' : 'no'
  const container = await Container.create(image, { engine, command: untilTerm(), detached, restart })
  if (state === 'restarting') await pretendRestarting(container)
  else if (state !== 'created') {
    await container.start()
    await firstLine(container)
  }
  if (state === 'paused') await container.pause()
  if (state === 'exited') await container.stop()
  if (state === 'removed') await container.remove({ force: true })
  return container
}

/** As after many restarts, when the next one is a minute away. */
async function pretendRestarting({ id }: Container): Promise<void> {
  const { containers, store } = fixture.engine
  await using _lock = await containers.lock(id)
  const { record, state } = await containers.read(id)
  const restart = state.restart && { ...state.restart, delayMs: 60_000, dueMs: Date.now() + 60_000 }
  const owner = record.detached ? null : store.session.id
  await containers.write(id, { ...state, status: 'restarting', restart, owner })
}

async function stateOf(container: Container): Promise<State> {
  try {
    return (await container.inspect()).status
  } catch (error) {
    if (error instanceof NotFoundError) return 'removed'
    throw error
  }
}

async function check(method: Method, state: State, detached: boolean): Promise<void> {
  const container = await make(state, detached)
  try {
    const outcome = state === 'removed' ? undefined : method.outcomes[state]
    if (outcome === undefined) await assert.rejects(method.call(container), NotFoundError)
    else if (typeof outcome === 'string') await method.call(container)
    else {
      await assert.rejects(method.call(container), (error) => {
        assert.ok(error instanceof ContainerStateError, String(error))
        assert.deepEqual([error.state, error.allowed], [state, outcome])
        return true
      })
    }
    assert.equal(await stateOf(container), typeof outcome === 'string' ? outcome : state)
  } finally {
    await container[Symbol.asyncDispose]()
  }
}

for (const detached of [false, true]) {
  for (const method of kMethods) {
    for (const state of kStates) {
      test(`${method.name}: ${state}${detached ? ', detached' : ''}`, { timeout: 60_000 }, async (t) => {
        if (needsContainers(t)) await check(method, state, detached)
      })
    }
  }
}

test('two engines in one process see the same', { timeout: 60_000 }, async (t) => {
  if (!needsContainers(t)) return
  await using container = await make('paused', true)
  await using other = await Engine.open({ root: fixture.engine.root })
  const same = await Container.get(container.id, { engine: other })
  assert.equal((await same.inspect()).status, 'paused')
  await same.stop()
  assert.deepEqual([await stateOf(container), (await container.wait()).exitCode], ['exited', 0])
})

test('a closed engine refuses', { timeout: 60_000 }, async (t) => {
  if (!needsContainers(t)) return
  const other = await Engine.open({ root: fixture.engine.root })
  await using container = await make('created', false)
  const same = await Container.get(container.id, { engine: other })
  await other.close()
  for (const { name, call } of kMethods) await assert.rejects(call(same), { code: 'ERR_ENGINE_CLOSED' }, name)
})
