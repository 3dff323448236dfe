// SPDX-License-Identifier: MIT
// Published ports: relayed by this process, taken before the container starts.
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { buffer, text } from 'node:stream/consumers'
import { test } from 'node:test'
import { Container } from '../../lib/container.ts'
import { InvalidOptionError, SyscallError } from '../../lib/errors.ts'
import { Image } from '../../lib/image.ts'
import { until } from '../helpers/until.ts'
import { CommandLine } from './cli-fixtures.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()
const kSleep = ['sleep', '60']

function portOf(container: Container, index = 0): number {
  return container.ports[index]?.port ?? 0
}

function client(port: number): Socket {
  return connect({ port, host: '127.0.0.1', allowHalfOpen: true })
}

test('a published port leads into the container, with half-closed ends and all bytes', async (t) => {
  if (!needsContainers(t)) return
  const command = ['busybox', 'nc', '-ll', '-p', '7000', '-e', 'cat']
  await using container = await fixture.start(command, { ports: [7000, '127.0.0.1:0:81'], waitFor: { port: 7000 } })
  assert.deepEqual(
    container.ports.map(({ port, ...rest }) => ({ ...rest, taken: port > 0 })),
    [7000, 81].map((each) => ({ container: each, protocol: 'tcp', host: '127.0.0.1', taken: true })),
  )
  const other = await Container.get(container.id, { engine: fixture.engine })
  assert.deepEqual(other.ports, container.ports)
  assert.deepEqual((await other.inspect()).ports, container.ports)
  // More than all buffers of the way take: what is not read holds up who writes.
  const socket = client(portOf(container))
  const bytes = Buffer.alloc(16 * 1024 * 1024, 'x')
  socket.end(bytes)
  assert.ok((await buffer(socket)).equals(bytes))
  // Nothing listens at this one inside: the connection breaks, and the relay goes on.
  for (let i = 0; i < 2; i++) {
    const refused = client(portOf(container, 1))
    await assert.rejects(once(refused, 'end'), { code: 'ECONNRESET' })
  }
  await container.stop()
  await until(() => refuses(portOf(container)), 'the port is free again')
  assert.deepEqual((await container.inspect()).ports, [])
  await container.start()
  await container.waitFor({ port: 7000 })
  const again = client(portOf(container))
  again.end('again')
  assert.equal(await text(again), 'again')
})

test('who comes before the container runs waits for it, and a client that breaks off is told of inside', async (t) => {
  if (!needsContainers(t)) return
  await using container = await fixture.start(kSleep, { ports: [80] })
  const sockets: Socket[] = []
  await using _server = await container.expose(80, {
    connection: (socket) => sockets.push(socket.on('error', () => {})),
  })
  const socket = client(portOf(container))
  await until(() => sockets.length === 1, 'it is let in')
  socket.write('something')
  const [inner] = sockets
  assert.ok(inner !== undefined)
  assert.equal(String((await once(inner, 'data'))[0]), 'something')
  const broken = assert.rejects(once(inner, 'close'), { code: 'ECONNRESET' })
  socket.resetAndDestroy()
  await broken
  // The same port again, which must be free by then.
  await using fixed = await fixture.start(kSleep, { ports: [{ container: 80, host: await freePort() }] })
  for (let i = 0; i < 3; i++) await fixed.restart()
})

test('the command line tells which ports lead into a container', async (t) => {
  if (!needsContainers(t)) return
  await using container = await fixture.start(kSleep, { name: 'harbour', ports: [7000, '127.0.0.1:0:53/udp'] })
  const cli = new CommandLine(fixture.dir)
  const [tcp, udp] = [portOf(container), portOf(container, 1)]
  assert.equal(await cli.ok('port', 'harbour'), `7000/tcp -> 127.0.0.1:${tcp}\n53/udp -> 127.0.0.1:${udp}\n`)
  assert.equal(await cli.ok('port', container.id.slice(0, 12), '7000'), `127.0.0.1:${tcp}\n`)
  assert.equal(await cli.ok('container', 'port', 'harbour', '53/udp'), `127.0.0.1:${udp}\n`)
  assert.deepEqual(await cli.json('port', 'harbour', '--json'), container.ports)
  await cli.fails(['port', 'harbour', '53'], 1, /No port of the host leads to 53\/tcp .*\n.*7000\/tcp, 53\/udp/)
  await cli.fails(['port', 'harbour', 'x'], 125, /'x' is no port of a container/)
  await container.stop()
  assert.equal(await cli.ok('port', 'harbour'), '')
})

test('a port that is taken is an error, and nothing is left', async (t) => {
  if (!needsContainers(t)) return
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const ports = [{ container: 80 }, { container: 81, host: port }]
  const taken = { code: 'EADDRINUSE', syscall: 'bind', address: '127.0.0.1', port }
  await assert.rejects(fixture.start(kSleep, { ports }), (error) => error instanceof SyscallError)
  await assert.rejects(fixture.start(kSleep, { ports }), taken)
  await assert.rejects(fixture.run(['true'], { ports }), taken)
  assert.deepEqual(await Container.list({ engine: fixture.engine, all: true }), [])
  server.close()
  await assert.rejects(fixture.start(kSleep, { ports: [80], detached: true }), InvalidOptionError)
  await assert.rejects(fixture.start(kSleep, { ports: [80], network: 'host' }), InvalidOptionError)
  assert.deepEqual(await Container.list({ engine: fixture.engine, all: true }), [])
})

const kUdpServer = `
const socket = require('node:dgram').createSocket('udp4')
socket.on('message', (message, { port, address }) => socket.send('got ' + message, port, address))
socket.bind(7000, () => console.log('ready'))`

test('datagrams find their way in, and the answers out, peer by peer', async (t) => {
  if (!needsContainers(t)) return
  const command = [process.execPath, '-e', kUdpServer]
  const options = { engine: fixture.engine, command, stopTimeoutMs: 0, ports: ['7000/udp'], waitFor: { log: 'ready' } }
  await using container = await Container.start(Image.host(), options)
  const ask = async (question: string): Promise<string> => {
    const socket = createSocket('udp4')
    const answers: string[] = []
    socket.on('message', (message) => answers.push(String(message)))
    for (let i = 0; i < 3; i++) socket.send(`${question} ${i}`, portOf(container), '127.0.0.1')
    await until(() => answers.length === 3, 'three answers')
    socket.close()
    return answers.join()
  }
  const answers = await Promise.all(['a', 'b', 'c'].map(ask))
  assert.deepEqual(
    answers,
    ['a', 'b', 'c'].map((each) => [0, 1, 2].map((i) => `got ${each} ${i}`).join()),
  )
})

test('a run has its ports while it lasts', async (t) => {
  if (!needsContainers(t)) return
  const port = await freePort()
  const script = 'echo hello | busybox nc -l -p 7000'
  const run = fixture.run(['sh', '-ec', script], { ports: [`${port}:7000`] })
  let answer = ''
  await until(async () => {
    answer = await text(client(port)).catch(() => '')
    return answer !== ''
  }, 'it answers')
  assert.equal(answer, 'hello\n')
  await run
  assert.ok(await refuses(port))
})

async function refuses(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  const refused = await once(socket, 'connect').then(
    () => false,
    () => true,
  )
  socket.destroy()
  return refused
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
