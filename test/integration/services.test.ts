// SPDX-License-Identifier: MIT
// PostgreSQL, Redis and nginx from Debian's packages, through a container's whole life, with clients that speak their protocols.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import type { Template } from '../../lib/template.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { nginx, postgres, redis, type Service, useServices } from './services-fixtures.ts'

checkLeftovers()

const kForks = 20

const services = useServices()

for (const service of [postgres, redis, nginx]) {
  test(`${service.name}: ready, used, stopped, started again, committed, and forked ${kForks} times`, async (t) => {
    const parts = services.parts(t)
    if (parts === undefined) return
    const { engine, image } = parts
    const { name, options, ready: waitFor } = service
    const startedAt = performance.now()
    await using container = await Container.start(image, { engine, name, ...options, waitFor })
    t.diagnostic(`${name} was ready after ${since(startedAt)}`)
    assert.deepEqual(await usersIn(container), service.users)
    await service.prepare(container)
    await service.add(container, 'first')

    await stopsCleanly(container, service)
    await container.start()
    await container.waitFor(waitFor)
    assert.deepEqual(await service.notes(container), ['first'])

    await service.add(container, 'second')
    const committed = await container.commit(`${name}:filled`)
    const { mounts } = options
    await using copy = await Container.start(committed, {
      engine,
      ...(mounts === undefined ? {} : { mounts }),
      waitFor,
    })
    assert.deepEqual(await usersIn(copy), service.users)
    assert.deepEqual(await service.notes(copy), ['first', 'second'])
    await stopsCleanly(copy, service)

    const snapshotAt = performance.now()
    await using template = await container.snapshot()
    t.diagnostic(`a snapshot took ${since(snapshotAt)}`)
    t.diagnostic(await forksAreTheirOwn(template, service))
    assert.deepEqual(await service.notes(container), ['first', 'second'])
    await stopsCleanly(container, service)
  })
}

/** Who the processes of a container run as, by the names that it has for them. */
async function usersIn(container: Container): Promise<string[]> {
  const { stdout } = await container.exec(['ps', '-eo', 'user:20=,comm=', '--no-headers'], { user: 'root' })
  const rows = stdout
    .trim()
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
  // What waits for the next program, and what looks, is not the service's.
  const own = rows.filter(([, command]) => command !== 'ps' && command !== 'wherry-launcher')
  return [...new Set(own.map(([user]) => user ?? ''))].sort()
}

/** Stops a service; it ends by itself, in time, and says so. */
async function stopsCleanly(container: Container, { farewell }: Service): Promise<void> {
  await container.stop()
  const { exitCode, killSignal, oomKilled } = await container.wait()
  assert.deepEqual({ exitCode, killSignal, oomKilled }, { exitCode: 0, killSignal: null, oomKilled: false })
  if (farewell === undefined) return
  let last = ''
  for await (const { line } of container.logs({ tail: 1 })) last = line
  assert.match(last, farewell)
}

/** Starts forks that run side by side; what one is given, no other has. @returns how long they took */
async function forksAreTheirOwn(template: Template, { add, notes, ready }: Service): Promise<string> {
  const forks: Container[] = []
  const [forkMs, readyMs]: [number[], number[]] = [[], []]
  try {
    for (let i = 0; i < kForks; i++) {
      const startedAt = performance.now()
      const fork = await Container.fork(template)
      forks.push(fork)
      forkMs.push(performance.now() - startedAt)
      await fork.waitFor(ready)
      readyMs.push(performance.now() - startedAt)
    }
    await Promise.all(forks.map((fork, i) => add(fork, `third of ${i}`)))
    const all = await Promise.all(forks.map((fork) => notes(fork)))
    assert.deepEqual(
      all,
      forks.map((_, i) => ['first', 'second', `third of ${i}`]),
    )
  } finally {
    await Promise.all(forks.map((fork) => fork.remove({ force: true, volumes: true })))
  }
  return `each of ${kForks} forks ran after ${median(forkMs)} ms and was ready after ${median(readyMs)} ms (medians)`
}

function since(startedAt: number): string {
  return `${(performance.now() - startedAt).toFixed(0)} ms`
}

function median(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  return (sorted[Math.floor(sorted.length / 2)] ?? Number.NaN).toFixed(0)
}
