// SPDX-License-Identifier: MIT
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { withDeadline } from '../async/deadline.ts'
import { connectInContainer } from './connect.ts'
import type { Relay, RelayTarget } from './port-relay.ts'

const kLoopbacks = ['127.0.0.1', '::1']
const kMaxConnections = 4096
/** A program in the container may listen and never accept: its queue is full then, and connecting takes minutes. */
const kConnectTimeoutMs = 10_000
/** A peer that has vanished is found out, and does not count as a connection for ever. */
const kKeepAliveMs = 30_000

/** A port of the host whose connections lead to a port of a container. Either side may end its half first. */
export class TcpRelay implements Relay {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #stop = new AbortController()

  readonly #connectTimeoutMs: number

  constructor(port: number, running: Promise<RelayTarget>, connectTimeoutMs = kConnectTimeoutMs) {
    this.#connectTimeoutMs = connectTimeoutMs
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
      this.#keep(client)
      // Whoever cannot be let in sees the connection reset, as from a port where nothing listens.
      this.#letIn(client, port, running).catch(() => client.resetAndDestroy())
    })
    this.#server.maxConnections = kMaxConnections
  }

  async bind(port: number, host: string): Promise<number> {
    const server = this.#server
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ port, host, exclusive: true }, resolve)
    })
    server.removeAllListeners('error')
    // Such as EMFILE at accept(): the next connection may find room again.
    server.on('error', () => undefined)
    return (server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error('the port is not published any more'))
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  async #letIn(client: Socket, port: number, running: Promise<RelayTarget>): Promise<void> {
    const { parts, container } = await running
    if (client.destroyed) return
    const gone = new AbortController()
    const giveUp = (): void => gone.abort(new Error('nobody is there any more'))
    const target = { port, hosts: kLoopbacks }
    const what = `Connecting to port ${port} in the container`
    client.once('close', giveUp)
    const inner = await withDeadline(what, this.#connectTimeoutMs, gone.signal, (signal) =>
      connectInContainer(parts, container, target, { signal, allowHalfOpen: true }),
    )
    client.off('close', giveUp)
    if (client.destroyed || this.#stop.signal.aborted) {
      inner.destroy()
      throw new Error('nobody is there any more')
    }
    this.#keep(inner)
    join(client, inner)
    join(inner, client)
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.setKeepAlive(true, kKeepAliveMs)
    // What comes in small pieces goes on as it came.
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    socket.once('close', () => this.#sockets.delete(socket))
  }
}

/** What one side sends goes to the other, no faster than that takes it; so does its end, and a break. */
function join(from: Socket, to: Socket): void {
  from.pipe(to)
  from.once('error', () => to.resetAndDestroy())
  from.once('close', () => {
    if (!from.readableEnded) to.destroy()
  })
}
