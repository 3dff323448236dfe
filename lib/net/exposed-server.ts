// SPDX-License-Identifier: MIT
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { SyscallError } from '../errors.ts'
import type { Native } from '../launcher/native.ts'
import { addressOf } from './connect.ts'
import type { SocketServer } from './socket-server.ts'

/** What answers: a listener as of `http.createServer`, or one that gets each connection as a socket. */
export type ExposeHandler = RequestListener | { connection: (socket: Socket) => void }

/** What programs of the container may take of this process: they need not be friends. */
export interface ExposeLimits {
  /** Connections at once, on either address. Further ones are closed. */
  readonly maxConnections: number
  /** Longest time for the headers of a request, in milliseconds; those of others are as in `http.createServer`. */
  readonly headersTimeoutMs: number
  /** How often is looked for requests that take too long. */
  readonly checkMs: number
}

const kLimits: ExposeLimits = { maxConnections: 1024, headersTimeoutMs: 20_000, checkMs: 5_000 }
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
    limits: Partial<ExposeLimits> = {},
  ): Promise<ExposedServer> {
    const connections = new Set<Socket>()
    const listen = async (host: string, port: number): Promise<Server> => {
      const request = { op: 'bind', address: addressOf(host, port), backlog: kBacklog } as const
      const server = makeServer(handler, { ...kLimits, ...limits }, connections)
      return await listenOn(native, await sockets.make(request, signal), server)
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

/** One that listens itself: of others Node does not limit the time of requests. */
function makeServer(
  handler: ExposeHandler,
  { maxConnections, headersTimeoutMs, checkMs }: ExposeLimits,
  connections: Set<Socket>,
): Server {
  const isHttp = typeof handler === 'function'
  const times = { headersTimeout: headersTimeoutMs, connectionsCheckingInterval: checkMs }
  const server = isHttp ? createHttpServer(times, handler) : createServer(handler.connection)
  server.maxConnections = maxConnections
  server.prependListener('connection', (socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })
  return server
}

async function listenOn(native: Native, fd: number, server: Server): Promise<Server> {
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
