// SPDX-License-Identifier: MIT
import type { Socket } from 'node:net'
import { withDeadline } from './async/deadline.ts'
import { reachOf } from './containers/own-namespaces.ts'
import type { Engine } from './engine.ts'
import { ContainerStateError, InvalidOptionError, WherryError } from './errors.ts'
import { connectInContainer, type ReachParts } from './net/connect.ts'
import { ContainerFetcher } from './net/container-fetch.ts'
import { ExposedServer, type ExposeHandler } from './net/exposed-server.ts'
import type { ReachTarget } from './net/socket-servers.ts'
import { checkBoolean, checkObject, checkTimeout } from './options/checks.ts'
import { type ConnectTarget, checkPort, normalizeConnectTarget } from './options/reach-options.ts'

export type { ConnectTarget, ExposedServer, ExposeHandler }

/** Options of {@link Container.connect}. */
export interface ContainerConnectOptions {
  /** Longest wait for the connection, in milliseconds. @default 10_000 */
  timeoutMs?: number | undefined
  /** Whether our side stays open when the other side has ended, as in `net.connect`. @default false */
  allowHalfOpen?: boolean | undefined
  /** Aborting gives the connection up; once it is made, it is the socket's. */
  signal?: AbortSignal | undefined
}

/** Options of {@link Container.expose}. */
export interface ContainerExposeOptions {
  signal?: AbortSignal | undefined
}

const kConnectTimeoutMs = 10_000

/** The container as it is reached now. @throws {ContainerStateError} when it does not run. @throws {NotFoundError} */
export async function reachTarget(engine: Engine, id: string): Promise<ReachParts & { container: ReachTarget }> {
  engine.assertOpen()
  const stored = await engine.containers.read(id)
  const { native, sockets, host } = await engine.runtime()
  const container = reachOf(host, stored)
  if (container === undefined) {
    const { name, status } = stored.state
    throw new ContainerStateError(`container ${name}`, status, 'reach into', ['running', 'paused'])
  }
  return { native, sockets, container }
}

/** See {@link Container.connect}. */
export async function connectTo(
  engine: Engine,
  id: string,
  target: ConnectTarget,
  options: ContainerConnectOptions = {},
): Promise<Socket> {
  const normalized = normalizeConnectTarget(target)
  const { timeoutMs, allowHalfOpen, signal } = checkObject('', options, [
    'timeoutMs',
    'allowHalfOpen',
    'signal',
  ]) as ContainerConnectOptions
  const limitMs = checkTimeout('timeoutMs', timeoutMs) ?? kConnectTimeoutMs
  const halfOpen = checkBoolean('allowHalfOpen', allowHalfOpen, false)
  signal?.throwIfAborted()
  const what = 'path' in normalized ? normalized.path : `port ${normalized.port}`
  return withDeadline(`Connecting to ${what} in the container`, limitMs, signal, async (limit) => {
    const { container, ...parts } = await reachTarget(engine, id)
    try {
      return await connectInContainer(parts, container, normalized, { signal: limit, allowHalfOpen: halfOpen })
    } catch (error) {
      throw await endedInstead(engine, id, error)
    }
  })
}

/** Where the container has ended meanwhile, that is what there is to say. */
async function endedInstead(engine: Engine, id: string, error: unknown): Promise<unknown> {
  if (!(error instanceof WherryError) || error.code !== 'ERR_CHILD_ENDED') return error
  return await reachTarget(engine, id).then(
    () => error,
    (reason: unknown) => reason,
  )
}

/** Makes what {@link Container.fetch} uses. */
export function fetcherOf(engine: Engine, id: string): ContainerFetcher {
  return new ContainerFetcher((port, host) => connectTo(engine, id, { port, host }))
}

/** See {@link Container.fetch}. */
export async function fetchFrom(
  fetcher: ContainerFetcher,
  input: string | URL,
  init: RequestInit = {},
): Promise<Response> {
  const url = urlOf(input)
  checkObject('init', init)
  init.signal?.throwIfAborted()
  return await fetcher.fetch(url, init)
}

function urlOf(input: unknown): URL {
  const expected = "a path that begins with '/', or an http or https URL"
  if (!(input instanceof URL) && typeof input !== 'string') throw new InvalidOptionError('url', expected, input)
  const text = String(input)
  const url = text.startsWith('/') && !text.startsWith('//') ? `http://localhost${text}` : text
  if (/^https?:\/\//i.test(url) && URL.canParse(url)) return new URL(url)
  throw new InvalidOptionError('url', expected, text)
}

/** See {@link Container.expose}. */
export async function exposeTo(
  engine: Engine,
  id: string,
  port: number,
  handler: ExposeHandler,
  options: ContainerExposeOptions = {},
): Promise<ExposedServer> {
  const checked = port === 0 ? 0 : checkPort('port', port)
  if (typeof handler !== 'function') {
    const { connection } = checkObject('handler', handler, ['connection'])
    if (typeof connection !== 'function') throw new InvalidOptionError('handler.connection', 'a function', connection)
  }
  const { signal } = checkObject('', options, ['signal']) as ContainerExposeOptions
  signal?.throwIfAborted()
  const { native, sockets, container } = await reachTarget(engine, id)
  try {
    return await ExposedServer.open(native, await sockets.get(container), checked, handler, signal)
  } catch (error) {
    throw await endedInstead(engine, id, error)
  }
}
