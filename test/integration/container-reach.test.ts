// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { buffer, text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { Container } from '../../lib/container.ts'
import { reachTarget } from '../../lib/container-reach.ts'
import { ContainerStateError, InvalidOptionError, SyscallError, TimeoutError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { ExposedServer } from '../../lib/net/exposed-server.ts'
import { until } from '../helpers/until.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

/** Echoes what it gets, connection after connection. */
const kEcho = ['busybox', 'nc', '-ll', '-p', '7000', '-e', 'cat']

async function connected(container: Container, port: number): Promise<Socket> {
  let socket: Socket | undefined
  await until(async () => {
    socket = await container.connect(port).catch((error: unknown) => {
      if (error instanceof SyscallError && error.code === 'ECONNREFUSED') return undefined
      throw error
    })
    return socket !== undefined
  }, 'it listens')
  assert.ok(socket !== undefined)
  return socket
}

for (const userns of ['auto', 'host'] as const) {
  test(`connect() reaches a server on the loopback of a container (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    await using container = await fixture.start(kEcho, { userns })
    const socket = await connected(container, 7000)
    socket.end('hello')
    assert.equal(await text(socket), 'hello')
    // A container's network is its own: the host has nothing there.
    const again = await container.connect({ port: 7000, host: 'localhost' })
    assert.equal(again.remoteAddress, '127.0.0.1')
    const big = Buffer.alloc(4 * 1024 * 1024, 'x')
    again.end(big)
    assert.ok((await buffer(again)).equals(big))
  })
}

test('a refused connection is an error like those of Node', async (t) => {
  if (!needsContainers(t)) return
  await using container = await fixture.start(['sleep', '60'])
  await assert.rejects(container.connect(7000), (error) => {
    assert.ok(error instanceof SyscallError)
    const { code, syscall, address, port } = error
    assert.deepEqual(
      { code, syscall, address, port },
      { code: 'ECONNREFUSED', syscall: 'connect', address: '127.0.0.1', port: 7000 },
    )
    assert.match(
      error.message,
      /^Cannot connect to 127\.0\.0\.1:7000 in the container: connect\(127\.0\.0\.1:7000\) failed with ECONNREFUSED/,
    )
    return true
  })
  await assert.rejects(
    container.connect({ path: '/none' }),
    (error) => error instanceof SyscallError && error.code === 'ENOENT',
  )
})

test('connect() refuses what is no port, and a container that does not run', async (t) => {
  if (!needsContainers(t)) return
  await using container = await Container.create(fixture.image, { engine: fixture.engine, command: ['sleep', '60'] })
  const bad: unknown[] = [
    0,
    65_536,
    '80',
    { port: 80, hots: '::1' },
    { port: 80, host: 'db' },
    { path: 'x' },
    { path: '/x', port: 1 },
  ]
  for (const target of bad) await assert.rejects(container.connect(target as number), InvalidOptionError)
  await assert.rejects(container.connect(80), ContainerStateError)
  await container.start()
  await container.stop({ timeoutMs: 0 })
  await assert.rejects(container.connect(80), ContainerStateError)
  await container.start()
  await assert.rejects(container.connect(80), SyscallError)
})

test('connecting can be given up, takes no longer than it may, and ends with the container', async (t) => {
  if (!needsContainers(t)) return
  const container = await fixture.start(['sleep', '60'])
  const { sockets, container: target } = await reachTarget(fixture.engine, container.id)
  const server = await sockets.get(target)
  // The kernel answers so many, whoever accepts them, and then no more.
  const address = { family: 4, host: '127.0.0.1', port: 9 } as const
  const listener = await server.make({ op: 'bind', address, backlog: 0 })
  const socket = await container.connect(9)
  await assert.rejects(container.connect(9, { timeoutMs: 50 }), TimeoutError)
  const controller = new AbortController()
  const given = Array.from({ length: 300 }, () =>
    container.connect(9, { signal: controller.signal, timeoutMs: 60_000 }),
  )
  const refused = Promise.allSettled(given)
  await setImmediate()
  controller.abort(new Error('no more'))
  for (const { reason } of (await refused) as PromiseRejectedResult[]) assert.equal(reason.message, 'no more')
  const late = assert.rejects(container.connect(9, { timeoutMs: 60_000 }), ContainerStateError)
  await setImmediate()
  await container.remove({ force: true })
  await late
  assert.ok(server.ended)
  socket.destroy()
  fixture.engine.native.close(listener)
})

const kSocketServer = `
const { createServer } = require('node:net')
createServer((socket) => socket.end('by path')).listen('/tmp/server.sock', () => {
  createServer((socket) => socket.end('by IPv6')).listen(7006, '::1', () => console.log('ready'))
})`

test('connect() reaches a Unix socket by its path, and a server of IPv6 only', async (t) => {
  if (!needsContainers(t)) return
  const command = [process.execPath, '-e', kSocketServer]
  await using container = await Container.start(Image.host(), { engine: fixture.engine, command, stopTimeoutMs: 0 })
  for await (const { line } of container.logs({ follow: true })) if (line === 'ready') break
  assert.equal(await text(await container.connect({ path: '/tmp/server.sock' })), 'by path')
  assert.equal(await text(await container.connect(7006)), 'by IPv6')
  assert.equal(await text(await container.connect({ port: 7006, host: '[::1]' })), 'by IPv6')
  await assert.rejects(container.connect({ port: 7006, host: '127.0.0.1' }), SyscallError)
})

test('expose() serves into a container, and fetch() gets what is served there', async (t) => {
  if (!needsContainers(t)) return
  await using container = await fixture.start(['sleep', '60'])
  await using api = await container.expose(8080, async (request, response) => {
    if (request.url === '/away') response.writeHead(307, { location: 'http://elsewhere.example:8080/' })
    response.end(
      `${request.method} ${request.headers.host} ${(await text(request)).replace(/[\s\S]*\r\n\r\n|\r\n[\s\S]*/g, '')}`,
    )
  })
  await using plain = await container.expose(0, { connection: (socket) => socket.end('plain') })
  assert.equal(
    (await container.exec(['busybox', 'wget', '-qO-', 'http://127.0.0.1:8080/'])).stdout,
    'GET 127.0.0.1:8080 ',
  )
  assert.equal((await container.exec(['busybox', 'wget', '-qO-', 'http://[::1]:8080/'])).stdout, 'GET [::1]:8080 ')
  assert.equal(await text(await container.connect(plain.port)), 'plain')
  const posted = await container.fetch('http://shop.example:8080/', { method: 'POST', body: 'x=1' })
  assert.equal(await posted.text(), 'POST shop.example:8080 x=1')
  const followed = await container.fetch('http://localhost:8080/away')
  assert.equal(await followed.text(), 'GET elsewhere.example:8080 ')
  assert.equal(followed.redirected, true)
  const form = new FormData()
  form.set('field', 'value')
  const sent = await container.fetch(new URL('http://[::1]:8080/'), { method: 'POST', body: form })
  assert.equal(await sent.text(), 'POST [::1]:8080 value')
  await assert.rejects(container.fetch('/'), refusalOf(80))
  await assert.rejects(
    container.expose(8080, () => undefined),
    { code: 'EADDRINUSE', syscall: 'bind' },
  )
  await assert.rejects(container.fetch('file:///etc/passwd'), InvalidOptionError)
  const open = await container.connect(8080)
  const closed = once(open, 'close')
  await api.close()
  await closed
  await assert.rejects(container.connect(8080), refusalOf(8080))
})

test('what is exposed ends with the run of its container', async (t) => {
  if (!needsContainers(t)) return
  await using container = await fixture.start(['sleep', '60'])
  const api = await container.expose(8080, (_, response) => response.end('here'))
  assert.equal(await (await container.fetch('http://localhost:8080')).text(), 'here')
  const open = await container.connect(8080)
  const closed = once(open, 'close')
  await container.restart()
  await closed
  await api.close()
  await assert.rejects(container.fetch('http://localhost:8080'), refusalOf(8080))
})

test('programs of a container cannot keep an exposed server busy for ever', async (t) => {
  if (!needsContainers(t)) return
  await using container = await fixture.start(['sleep', '60'])
  const { native, sockets, container: target } = await reachTarget(fixture.engine, container.id)
  const limits = { maxConnections: 1, headersTimeoutMs: 50, checkMs: 20 }
  const server = await sockets.get(target)
  await using api = await ExposedServer.open(
    native,
    server,
    0,
    (_, response) => response.end('here'),
    undefined,
    limits,
  )
  const slow = await container.connect(api.port)
  slow.write('GET / HTTP/1.1\r\n')
  const further = await container.connect(api.port)
  assert.equal(await text(further), '')
  assert.match(await text(slow), /^HTTP\/1\.1 408 /)
  assert.equal(await (await container.fetch(`http://localhost:${api.port}`)).text(), 'here')
})

function refusalOf(port: number): object {
  return { code: 'ECONNREFUSED', port }
}
