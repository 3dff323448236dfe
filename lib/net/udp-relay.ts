// SPDX-License-Identifier: MIT
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { addressOf } from './connect.ts'
import type { Relay, RelayTarget } from './port-relay.ts'

const kLoopback = '127.0.0.1'
const kMaxPeers = 1024
/** Datagrams that wait until there are sockets for their peers: of one, and of all. What comes beyond is lost, as on any network. */
const kMaxWaiting = 16
const kMaxWaitingBytes = 4 * 1024 * 1024
/** What one socket may keep that the kernel does not take. */
const kMaxQueuedBytes = 256 * 1024
const kIdleMs = 90_000

/** One peer, and the socket in the container that stands for it. */
interface Peer {
  readonly waiting: Buffer[]
  socket: Socket | undefined
  timer: NodeJS.Timeout
}

/** A port of the host whose datagrams lead to a port of a container, and answers back to who asked. */
export class UdpRelay implements Relay {
  readonly #port: number
  readonly #running: Promise<RelayTarget>
  readonly #outer: Socket
  /** The one that was heard of least lately comes first. */
  readonly #peers = new Map<string, Peer>()
  #waitingBytes = 0
  #closed = false

  constructor(port: number, hostIp: string, running: Promise<RelayTarget>) {
    this.#port = port
    this.#running = running
    this.#outer = createSocket(isIPv6(hostIp) ? 'udp6' : 'udp4')
    this.#outer.on('message', (message, from) => this.#take(message, from))
  }

  async bind(port: number, host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#outer.once('error', reject)
      this.#outer.bind({ port, address: host, exclusive: true }, resolve)
    })
    this.#outer.removeAllListeners('error')
    this.#outer.on('error', () => undefined)
    return this.#outer.address().port
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const key of this.#peers.keys()) this.#forget(key)
    await new Promise<void>((resolve) => {
      this.#outer.close(resolve)
    })
  }

  #take(message: Buffer, from: RemoteInfo): void {
    const key = `${from.address} ${from.port}`
    const known = this.#peers.get(key)
    const peer = known ?? { waiting: [], socket: undefined, timer: this.#expire(key) }
    this.#peers.delete(key)
    this.#peers.set(key, peer)
    peer.timer.refresh()
    if (peer.socket !== undefined) send(peer.socket, message, this.#port, kLoopback)
    else this.#wait(peer, message)
    if (known === undefined) this.#open(key, peer, from).catch(() => this.#forget(key))
  }

  #wait({ waiting }: Peer, message: Buffer): void {
    if (waiting.length >= kMaxWaiting || this.#waitingBytes + message.length > kMaxWaitingBytes) return
    waiting.push(message)
    this.#waitingBytes += message.length
  }

  #takeWaiting({ waiting }: Peer): Buffer[] {
    const all = waiting.splice(0)
    for (const { length } of all) this.#waitingBytes -= length
    return all
  }

  async #open(key: string, peer: Peer, from: RemoteInfo): Promise<void> {
    const [oldest] = this.#peers.keys()
    if (oldest !== undefined && this.#peers.size > kMaxPeers) this.#forget(oldest)
    const { parts, container } = await this.#running
    const { native, sockets } = parts
    const server = await sockets.get(container)
    const fd = await server.make({ op: 'bind', address: addressOf(kLoopback, 0), isDatagram: true })
    if (this.#peers.get(key) !== peer) {
      native.close(fd)
      return
    }
    const socket = createSocket('udp4')
    socket.on('error', () => {
      if (peer.socket === undefined) socket.close()
      this.#forget(key)
    })
    socket.on('message', (answer, { port }) => {
      if (port !== this.#port || this.#closed) return
      peer.timer.refresh()
      send(this.#outer, answer, from.port, from.address)
    })
    await new Promise<void>((resolve) => {
      socket.bind({ fd }, resolve)
      native.giveAway(fd)
    })
    if (this.#peers.get(key) !== peer) {
      socket.close()
      return
    }
    peer.socket = socket
    for (const message of this.#takeWaiting(peer)) send(socket, message, this.#port, kLoopback)
  }

  #expire(key: string): NodeJS.Timeout {
    return setTimeout(() => this.#forget(key), kIdleMs).unref()
  }

  #forget(key: string): void {
    const peer = this.#peers.get(key)
    if (peer === undefined) return
    this.#peers.delete(key)
    clearTimeout(peer.timer)
    this.#takeWaiting(peer)
    peer.socket?.close()
  }
}

function send(socket: Socket, message: Buffer, port: number, address: string): void {
  if (socket.getSendQueueSize() <= kMaxQueuedBytes) socket.send(message, port, address)
}
