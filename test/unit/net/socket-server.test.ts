// SPDX-License-Identifier: MIT
// What becomes of requests for sockets when they are given up, when there are many, and when the process that makes them dies.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { WherryError } from '../../../lib/errors.ts'
import { SocketServer, type SocketServerParts } from '../../../lib/net/socket-server.ts'

const kRequest = { op: 'connect', address: { family: 4, host: '127.0.0.1', port: 80 } } as const
const kCancel = 3

type Listener = (message: Buffer | null, fds: number[]) => void

/** The process that makes sockets, as the socket to it shows it. */
class FakePeer {
  readonly asked: { id: number; op: number }[] = []
  readonly closed: number[] = []
  /** Code of the error that sending ends in. */
  failure: string | undefined
  #listener: Listener = () => undefined

  server(): SocketServer {
    const listen = (listener: Listener): void => {
      this.#listener = listener
    }
    const take = (bytes: Uint8Array): void => {
      const code = this.failure
      if (code !== undefined) throw Object.assign(new Error(code), { code, syscall: 'sendmsg' })
      const view = Buffer.from(bytes)
      this.asked.push({ id: view.readUInt32LE(0), op: view.readUInt32LE(4) })
    }
    class Channel {
      readonly send = take
      constructor(_fd: number, listener: Listener) {
        listen(listener)
      }
      ref(): void {}
      unref(): void {}
      close(): void {}
    }
    const native = { Channel, close: (fd: number) => this.closed.push(fd) }
    const launcher = { hold: () => undefined, unhold: () => undefined }
    const child = { pid: 1, kill: () => undefined, release: () => undefined, exited: Promise.resolve() }
    return new SocketServer({ native, launcher, child, socket: 9 } as unknown as SocketServerParts)
  }

  answer(id: number, errno: number, ...fds: number[]): void {
    const bytes = Buffer.alloc(24)
    bytes.writeUInt32LE(id, 0)
    bytes.writeInt32LE(errno, 4)
    bytes.write('connect', 8)
    this.#listener(bytes, fds)
  }

  /** The process is gone. */
  end(): void {
    this.#listener(null, [])
  }
}

test('one that is given up, or slow, takes nothing from others, and its descriptor is closed', async () => {
  const peer = new FakePeer()
  const server = peer.server()
  const stop = new AbortController()
  const given = server.make(kRequest, stop.signal)
  const [slow, fast] = [server.make(kRequest), server.make(kRequest)]
  await turn()
  const [a, b, c] = peer.asked.map(({ id }) => id)
  stop.abort(new Error('given up'))
  await assert.rejects(given, { message: 'given up' })
  await turn()
  assert.deepEqual(peer.asked.at(-1), { id: a, op: kCancel })
  peer.answer(c ?? 0, 0, 13)
  // It was made before it heard that nobody wants it.
  peer.answer(a ?? 0, 0, 11)
  peer.answer(b ?? 0, 0, 12)
  assert.deepEqual([await slow, await fast, peer.closed], [12, 13, [11]])
  await server.end()
})

test('one that is given up in the moment of its answer leaves no descriptor', async () => {
  const peer = new FakePeer()
  const server = peer.server()
  const stop = new AbortController()
  const given = server.make(kRequest, stop.signal)
  await turn()
  stop.abort(new Error('given up'))
  peer.answer(peer.asked[0]?.id ?? 0, 0, 11)
  await assert.rejects(given, { message: 'given up' })
  await turn()
  assert.deepEqual(peer.closed, [11])
  await server.end()
})

test('one that is given up while there is no room for it is never asked for', async () => {
  const peer = new FakePeer()
  const server = peer.server()
  const stop = new AbortController()
  peer.failure = 'EAGAIN'
  const given = server.make(kRequest, stop.signal)
  await turn()
  stop.abort(new Error('given up'))
  peer.failure = undefined
  await assert.rejects(given, { message: 'given up' })
  await turn()
  assert.deepEqual(peer.asked, [])
  await server.end()
})

test('when the process dies all are rejected: those it was asked for, and all that wait for their turn', async () => {
  const peer = new FakePeer()
  const server = peer.server()
  const all = Array.from({ length: 400 }, () => server.make(kRequest))
  await turn()
  assert.ok(peer.asked.length < all.length)
  peer.end()
  const outcomes = await Promise.race([Promise.allSettled(all), turn().then(turn)])
  assert.ok(outcomes !== undefined, 'some wait for ever')
  const codes = outcomes.map((each) => each.status === 'rejected' && (each.reason as WherryError).code)
  assert.deepEqual(new Set(codes), new Set(['ERR_CHILD_ENDED']))
  await assert.rejects(server.make(kRequest), { code: 'ERR_CHILD_ENDED' })
})

test('one that asks a process which has just died is told so', async () => {
  const peer = new FakePeer()
  const server = peer.server()
  peer.failure = 'EPIPE'
  await assert.rejects(server.make(kRequest), { code: 'ERR_CHILD_ENDED' })
  await server.end()
})

test('a socket for which this process has no descriptor left is an error', async () => {
  const peer = new FakePeer()
  const server = peer.server()
  const asked = server.make(kRequest)
  await turn()
  peer.answer(peer.asked[0]?.id ?? 0, 0)
  await assert.rejects(asked, { code: 'EMFILE', syscall: 'recvmsg' })
  await server.end()
})
