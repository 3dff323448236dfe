// SPDX-License-Identifier: MIT

import { SyscallError } from '../errors.ts'
import { errnoName } from '../launcher/step-error.ts'
import type { NormalizedPort, PublishedPort } from '../options/port-options.ts'
import type { ReachParts } from './connect.ts'
import type { ReachTarget } from './socket-servers.ts'
import { TcpRelay } from './tcp-relay.ts'
import { UdpRelay } from './udp-relay.ts'

/** A container, once it runs, and the way in. */
export interface RelayTarget {
  readonly parts: ReachParts
  readonly container: ReachTarget
}

/** One published port. Whoever comes before the container runs waits for it. */
export interface Relay {
  /** Takes the host's port. @returns its number. */
  bind(port: number, host: string): Promise<number>
  close(): Promise<void>
}

/** The published ports of one run of a container. They are taken before it starts, and free again when it has ended. */
export class PortRelays {
  readonly published: readonly PublishedPort[]
  readonly #relays: readonly Relay[]
  readonly #serve: (target: RelayTarget) => void
  #closing: Promise<void> | undefined

  private constructor(
    published: readonly PublishedPort[],
    relays: readonly Relay[],
    serve: (target: RelayTarget) => void,
  ) {
    this.published = published
    this.#relays = relays
    this.#serve = serve
  }

  /** Takes the host's ports. On failure none is left taken. @throws {SyscallError} `EADDRINUSE`, `EACCES`, … */
  static async bind(ports: readonly NormalizedPort[]): Promise<PortRelays> {
    let serve: (target: RelayTarget) => void = () => {}
    const running = new Promise<RelayTarget>((resolve) => {
      serve = resolve
    })
    const relays: Relay[] = []
    const published: PublishedPort[] = []
    try {
      for (const { container, host, hostIp, protocol } of ports) {
        const relay = protocol === 'tcp' ? new TcpRelay(container, running) : new UdpRelay(container, hostIp, running)
        relays.push(relay)
        published.push({ container, protocol, host: hostIp, port: await bound(relay, host, hostIp, protocol) })
      }
    } catch (error) {
      await Promise.all(relays.map((relay) => relay.close()))
      throw error
    }
    return new PortRelays(published, relays, serve)
  }

  /** Lets in who waits, and who comes from now on. */
  serve(target: RelayTarget): void {
    this.#serve(target)
  }

  /** Frees the ports, and ends what goes through them. */
  close(): Promise<void> {
    this.#closing ??= Promise.all(this.#relays.map((relay) => relay.close())).then(() => undefined)
    return this.#closing
  }
}

async function bound(relay: Relay, port: number, host: string, protocol: string): Promise<number> {
  try {
    return await relay.bind(port, host)
  } catch (error) {
    const errno = Math.abs((error as NodeJS.ErrnoException).errno ?? 0)
    if (errno === 0) throw error
    const [code, text] = errnoName(errno)
    throw new SyscallError(`Cannot publish port ${port}/${protocol} on ${host}`, {
      code,
      errno,
      syscall: 'bind',
      args: `${host}:${port}`,
      text,
      address: host,
      port,
      hint: code === 'EADDRINUSE' ? 'choose another port, or 0 for any that is free.' : undefined,
      cause: error,
    })
  }
}
