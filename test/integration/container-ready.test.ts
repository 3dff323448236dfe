// SPDX-License-Identifier: MIT
// waitFor(): when a container is ready, and how it is told that it is not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Container, type StartOptions } from '../../lib/container.ts'
import {
  ConflictError,
  ContainerEndedError,
  ContainerStateError,
  InvalidOptionError,
  TimeoutError,
} from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import type { WaitCondition } from '../../lib/options/wait-options.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

function start(script: string, options: StartOptions = {}): Promise<Container> {
  return fixture.start(['sh', '-ec', script], options)
}

const kServer = 'busybox httpd -p 127.0.0.1:80 -h /srv; touch /tmp/ready; echo up >&2; echo tick; echo tock; sleep 100'

test('every condition is waited for, alone and combined', async (t) => {
  if (!needsContainers(t)) return
  const waitFor: WaitCondition = { all: [{ http: '/hello' }, { port: 80 }, { exec: ['test', '-e', '/tmp/ready'] }] }
  await using container = await start(`sleep 0.3; ${kServer}`, { waitFor })
  const conditions: WaitCondition[] = [
    { log: 'up' },
    { log: /^t[io]ck$/g, times: 2, stream: 'stdout' },
    { http: { port: 80, path: '/none', status: [404, 410] } },
    { any: [{ port: 81 }, { log: 'never' }, { exec: ['false'] }, { port: 80 }] },
  ]
  for (const condition of conditions) await container.waitFor(condition)
  const exit = container.waitFor({ exit: 143 })
  await container.kill('SIGTERM')
  await container.kill('SIGKILL').catch(() => undefined)
  await assert.rejects(exit, ContainerEndedError)
  await container.waitFor({ exit: 137 })
})

test('a line counts that was written before the call, and none of an earlier run', async (t) => {
  if (!needsContainers(t)) return
  await using container = await start(
    'test -e /tmp/second || { touch /tmp/second; echo first; exit 0; }; echo second; sleep 100',
  )
  await container.waitFor({ log: 'first' })
  await container.wait()
  await container.waitFor({ all: [{ log: 'first' }, { exit: 0 }] })
  await container.start()
  await container.waitFor({ log: 'second' })
  await assert.rejects(container.waitFor({ log: 'first' }, { timeoutMs: 100 }), TimeoutError)
})

test('what does not come in time is an error that tells what was seen', async (t) => {
  if (!needsContainers(t)) return
  await using container = await start('echo starting; sleep 100')
  const condition: WaitCondition = {
    all: [{ port: 80 }, { exec: ['sh', '-c', 'echo not yet >&2; exit 3'] }, { log: 'starting' }],
  }
  await assert.rejects(container.waitFor(condition, { timeoutMs: 3_000 }), (error) => {
    assert.ok(error instanceof TimeoutError)
    assert.match(
      error.message,
      /^Waiting for port 80 and the program sh and the log line starting of container [\w-]+ took longer/,
    )
    assert.match(error.message, /port 80: .* failed with ECONNREFUSED/)
    assert.match(error.message, /the program sh: exit code 3 \(not yet\)/)
    assert.match(error.message, /Its last output:\n {2}starting$/)
    return true
  })
  const signal = AbortSignal.abort(new Error('no more'))
  await assert.rejects(container.waitFor({ port: 80 }, { signal }), /no more/)
  const controller = new AbortController()
  const given = container.waitFor({ any: [{ port: 80 }, { log: 'never' }, { exit: 0 }] }, { signal: controller.signal })
  controller.abort(new Error('no more'))
  await assert.rejects(given, /no more/)
  await assert.rejects(container.waitFor({ healthy: true }), ConflictError)
})

test('a container that ends before is an error, and is removed where it was started for that', async (t) => {
  if (!needsContainers(t)) return
  for (const waitFor of [{ port: 80 }, { log: 'ready' }, { any: [{ port: 80 }, { http: '/' }] }] as WaitCondition[]) {
    await assert.rejects(start('echo broken >&2; exit 7', { waitFor, name: 'not-ready' }), (error) => {
      assert.ok(error instanceof ContainerEndedError)
      assert.equal(error.exitCode, 7)
      assert.match(
        error.message,
        /^Container not-ready ended with exit code 7 while .* was waited for\. Its last output:\n {2}broken$/,
      )
      return true
    })
  }
  assert.deepEqual(await Container.list({ engine: fixture.engine, all: true }), [])
  await using created = await Container.create(fixture.image, { engine: fixture.engine })
  await assert.rejects(created.waitFor({ port: 80 }), ContainerStateError)
})

test('a condition is checked before anything is touched', async (t) => {
  if (!needsContainers(t)) return
  const bad: unknown[] = [
    {},
    { prot: 80 },
    { port: 0 },
    { log: '' },
    { log: 'x', time: 2 },
    { http: 'x' },
    { exit: 256 },
  ]
  bad.push({ all: [] }, { any: [{ healthy: false }] }, { exec: [] }, { port: 80, log: 'x' }, { http: { status: 1000 } })
  for (const condition of bad) {
    await assert.rejects(start('true', { waitFor: condition as WaitCondition }), InvalidOptionError)
  }
  assert.deepEqual(await Container.list({ engine: fixture.engine, all: true }), [])
})

test('looking whether a port answers does not end a server that writes at once', async (t) => {
  if (!needsContainers(t)) return
  // Without a listener for errors: a connection that is reset ends it.
  const server = `require('node:net').createServer((s) => s.write('hello', () => s.end('!'))).listen(7000, '127.0.0.1')`
  await using container = await Container.start(Image.host(), {
    engine: fixture.engine,
    command: [process.execPath, '-e', server],
    stopTimeoutMs: 0,
  })
  for (let i = 0; i < 50; i++) await container.waitFor({ port: 7000 })
  assert.equal((await container.inspect()).status, 'running')
})
