// SPDX-License-Identifier: MIT
import { once } from 'node:events'
import { isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Agent, fetch as undiciFetch } from 'undici'
import { withDeadline } from '../async/deadline.ts'
import { loadUndici } from '../distribution/undici.ts'
import { WherryError } from '../errors.ts'

/** Connects to a port of a host as the container sees it; without a host, to its loopback. */
export type ConnectPort = (port: number, host: string | undefined) => Promise<Socket>

/** Longest wait for TLS once there is a connection, which takes no longer either. */
const kHandshakeTimeoutMs = 10_000

/** Fetches over connections into a container. No connection is kept. */
export class ContainerFetcher {
  readonly #connect: ConnectPort
  readonly #handshakeTimeoutMs: number
  #parts: Promise<{ agent: Agent; fetch: typeof undiciFetch }> | undefined

  constructor(connect: ConnectPort, handshakeTimeoutMs = kHandshakeTimeoutMs) {
    this.#connect = connect
    this.#handshakeTimeoutMs = handshakeTimeoutMs
  }

  /** As the global `fetch`, but for errors of ours, which come as they are. */
  async fetch(url: URL, init: RequestInit): Promise<Response> {
    this.#parts ??= this.#load()
    const { agent, fetch } = await this.#parts
    try {
      const options = { ...(await plainInit(init)), dispatcher: agent }
      return (await fetch(url, options as Parameters<typeof undiciFetch>[1])) as unknown as Response
    } catch (error) {
      if (error instanceof TypeError && error.cause instanceof WherryError) throw error.cause
      throw error
    }
  }

  async #load(): Promise<{ agent: Agent; fetch: typeof undiciFetch }> {
    const [{ Agent }, { default: api }] = await Promise.all([loadUndici(), import('undici/lib/web/fetch/index.js')])
    const agent = new Agent({
      // Each request has a connection of its own: none is left when the container ends.
      pipelining: 0,
      connect: ({ hostname, port, protocol, servername }, done) => {
        const secure = protocol === 'https:'
        const host = hostname.replace(/^\[(.*)\]$/, '$1')
        this.#connect(Number(port) || (secure ? 443 : 80), isIP(host) === 0 ? undefined : host)
          .then((socket) => {
            if (!secure) return socket
            return secured(socket, servername ?? (isIP(host) === 0 ? host : undefined), this.#handshakeTimeoutMs)
          })
          .then(
            (socket) => done(null, socket),
            (error: Error) => done(error, null),
          )
      },
    })
    return { agent, fetch: api.fetch }
  }
}

function secured(socket: Socket, servername: string | undefined, timeoutMs: number): Promise<Socket> {
  const secure = connectTls({ socket, ...(servername === undefined ? {} : { servername }) })
  // Between our listening and that of the client, and after we have given up.
  secure.on('error', () => undefined)
  return withDeadline('Agreeing on TLS with the container', timeoutMs, undefined, async (signal) => {
    try {
      await once(secure, 'secureConnect', { signal })
      return secure
    } catch (error) {
      socket.destroy()
      throw signal.aborted ? signal.reason : error
    }
  })
}

/** The form of Node's own fetch is another class than that of the library that is used here. */
async function plainInit(init: RequestInit): Promise<RequestInit> {
  const { body, ...rest } = init
  if (!(body instanceof FormData)) return init
  const encoded = new Response(body)
  const headers = new Headers(init.headers)
  const type = encoded.headers.get('content-type')
  if (type !== null && !headers.has('content-type')) headers.set('content-type', type)
  return { ...rest, headers: [...headers], body: new Uint8Array(await encoded.arrayBuffer()) }
}
