// SPDX-License-Identifier: MIT
// What clients may make a relay keep.
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ContainerFetcher } from '../../../lib/net/container-fetch.ts'
import type { RelayTarget } from '../../../lib/net/port-relay.ts'
import { TcpRelay } from '../../../lib/net/tcp-relay.ts'
import { UdpRelay } from '../../../lib/net/udp-relay.ts'

const kHost = '127.0.0.1'
const kMegabyte = 1024 * 1024

/** A container in which something listens that never accepts. */
function deaf(): { target: Promise<RelayTarget>; asked: () => number } {
  let asked = 0
  const make = (_: unknown, signal: AbortSignal): Promise<number> => {
    asked++
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  const target = { parts: { sockets: { get: async () => ({ make }) } }, container: {} } as unknown as RelayTarget
  return { target: Promise.resolve(target), asked: () => asked }
}

test('a client is not kept waiting for a program that listens and never accepts', async () => {
  const relay = new TcpRelay(80, deaf().target, 30)
  const client = connect(await relay.bind(0, kHost), kHost)
  await assert.rejects(once(client, 'end'), { code: 'ECONNRESET' })
  await relay.close()
})

test('who has left before the container runs is not connected', async () => {
  const { target, asked } = deaf()
  let serve = (_: RelayTarget): void => {}
  const running = new Promise<RelayTarget>((resolve) => {
    serve = resolve
  })
  const relay = new TcpRelay(80, running)
  const client = connect(await relay.bind(0, kHost), kHost)
  await once(client, 'connect')
  await relay.close()
  serve(await target)
  await turn()
  assert.equal(asked(), 0)
})

test('datagrams that wait for a container do not fill the memory', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const held = (): number => {
    collect()
    return process.memoryUsage().arrayBuffers
  }
  const relay = new UdpRelay(80, kHost, new Promise(() => {}))
  const port = await relay.bind(0, kHost)
  const message = Buffer.alloc(60_000)
  const before = held()
  for (let i = 0; i < 30; i++) {
    const client = createSocket('udp4')
    for (let j = 0; j < 16; j++) {
      await new Promise<void>((resolve) => client.send(message, port, kHost, () => resolve()))
      for (let k = 0; k < 3; k++) await turn()
    }
    client.close()
  }
  const kept = held() - before
  assert.ok(kept < 8 * kMegabyte, `${kept} bytes are kept`)
  assert.ok(kept > kMegabyte, `only ${kept} bytes are kept`)
  await relay.close()
})

test('agreeing on TLS takes no longer than it may', async () => {
  const sockets: Socket[] = []
  const server = createServer((socket) => sockets.push(socket)).listen(0, kHost)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const open = async (): Promise<Socket> => {
    const socket = connect(port, kHost)
    await once(socket, 'connect')
    return socket
  }
  const fetcher = new ContainerFetcher(open, 50)
  await assert.rejects(fetcher.fetch(new URL('https://localhost/'), {}), { name: 'TimeoutError', code: 'ERR_TIMEOUT' })
  for (const socket of sockets) await once(socket.resume(), 'close')
  server.close()
})
