// SPDX-License-Identifier: MIT
import { isIPv6, Socket } from 'node:net'
import { orAborted } from '../async/or-aborted.ts'
import { SyscallError } from '../errors.ts'
import type { Native } from '../launcher/native.ts'
import type { NormalizedConnectTarget } from '../options/reach-options.ts'
import type { SocketAddress } from './socket-protocol.ts'
import type { ReachTarget, SocketServers } from './socket-servers.ts'

/** What is needed to reach into containers. */
export interface ReachParts {
  readonly native: Native
  readonly sockets: SocketServers
}

/** How to connect. */
export interface ConnectSettings {
  readonly signal?: AbortSignal | undefined
  /** Whether our side stays open when the other one has ended. */
  readonly allowHalfOpen?: boolean | undefined
}

/**
 * Connects to a port or path in a running container.
 *
 * @throws {SyscallError} of the first address that was tried. @throws {ContainerStateError} when the container has ended.
 */
export async function connectInContainer(
  parts: ReachParts,
  container: ReachTarget,
  target: NormalizedConnectTarget,
  settings: ConnectSettings = {},
): Promise<Socket> {
  const { native, sockets } = parts
  const { signal, allowHalfOpen = false } = settings
  if ('path' in target) {
    const request = { op: 'connect', address: target } as const
    const fd = await sockets.once(container, (server) => server.make(request, signal))
    return socketOf(native, fd, allowHalfOpen)
  }
  const server = await orAborted(sockets.get(container), signal)
  let first: unknown
  for (const host of target.hosts) {
    const request = { op: 'connect', address: addressOf(host, target.port) } as const
    try {
      return socketOf(native, await server.make(request, signal), allowHalfOpen)
    } catch (error) {
      first ??= error
      if (!(error instanceof SyscallError) || !kTryNext.has(error.code)) throw error
    }
  }
  throw first
}

/** Nothing there, or a container without this family of addresses. */
const kTryNext = new Set(['ECONNREFUSED', 'EADDRNOTAVAIL', 'ENETUNREACH', 'EAFNOSUPPORT'])

/** An address as requests have it. */
export function addressOf(host: string, port: number): SocketAddress {
  return { family: isIPv6(host) ? 6 : 4, host, port }
}

/** Node's socket for a descriptor that it closes from now on. */
function socketOf(native: Native, fd: number, allowHalfOpen: boolean): Socket {
  let socket: Socket
  try {
    socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen })
  } catch (error) {
    native.close(fd)
    throw error
  }
  native.giveAway(fd)
  return socket
}
