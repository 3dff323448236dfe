// SPDX-License-Identifier: MIT
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { SyscallError } from '../errors.ts'
import type { Native } from '../launcher/native.ts'
import { addressOf } from './connect.ts'
import type { SocketServer } from './socket-server.ts'

/** What answers: a listener as of `http.createServer`, or one that gets each connection as a socket. */
export type ExposeHandler = RequestListener | { connection: (socket: Socket) => void }

const kBacklog = 511
const kNoIpv6 = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT'])

/** A server of this process inside of a container's network, on 127.0.0.1 and ::1. It ends with the container's run. */
export class ExposedServer {
  /** Where programs of the container find it. */
  readonly port: number
  readonly #listeners: readonly Server[]
  readonly #connections: Set<Socket>
  #closing: Promise<void> | undefined

  private constructor(port: number, listeners: readonly Server[], connections: Set<Socket>) {
    this.port = port
    this.#listeners = listeners
    this.#connections = connections
  }

  /** @throws {SyscallError} EADDRINUSE, … @throws `signal.reason` @internal */
  static async open(
    native: Native,
    sockets: SocketServer,
    wanted: number,
    handler: ExposeHandler,
    signal?: AbortSignal,
  ): Promise<ExposedServer> {
    const connections = new Set<Socket>()
    const accept = accepter(handler)
    const listen = async (host: string, port: number): Promise<Server> => {
      const request = { op: 'bind', address: addressOf(host, port), backlog: kBacklog } as const
      return await listenOn(native, await sockets.make(request, signal), connections, accept)
    }
    const first = await listen('127.0.0.1', wanted)
    const { port } = first.address() as AddressInfo
    const listeners = [first]
    try {
      listeners.push(await listen('::1', port))
    } catch (error) {
      if (!(error instanceof SyscallError && kNoIpv6.has(error.code))) {
        first.close()
        throw error
      }
    }
    const server = new ExposedServer(port, listeners, connections)
    void sockets.gone.then(() => server.close())
    return server
  }

  /** Ends it, and the connections that are open. Calling it again does nothing. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Keeps the event loop going, which it does from the beginning. */
  ref(): void {
    for (const listener of this.#listeners) listener.ref()
  }

  /** Lets the program end although it listens. */
  unref(): void {
    for (const listener of this.#listeners) listener.unref()
  }

  async #close(): Promise<void> {
    const closed = this.#listeners.map((listener) => new Promise<void>((resolve) => listener.close(() => resolve())))
    for (const socket of this.#connections) socket.destroy()
    await Promise.all(closed)
  }
}

function accepter(handler: ExposeHandler): (socket: Socket) => void {
  if (typeof handler !== 'function') return handler.connection
  const server = createHttpServer(handler)
  // It listens nowhere by itself: connections of both families come to it by hand.
  return (socket) => server.emit('connection', socket)
}

async function listenOn(
  native: Native,
  fd: number,
  connections: Set<Socket>,
  accept: (socket: Socket) => void,
): Promise<Server> {
  const server = createServer((socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
    accept(socket)
  })
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ fd }, () => resolve())
      native.giveAway(fd)
    })
  } catch (error) {
    server.close()
    throw error
  }
  server.removeAllListeners('error')
  // Such as EMFILE at accept(): the next connection may find room again.
  server.on('error', () => undefined)
  return server
}
