// SPDX-License-Identifier: MIT
import type { Socket } from 'node:net'
import { withLinkedSignal } from './async/linked-signal.ts'
import { isLive } from './containers/end-stored.ts'
import { hasNetworkNamespace, hasUserNamespace } from './containers/own-namespaces.ts'
import type { Engine } from './engine.ts'
import { ContainerStateError, TimeoutError, WherryError } from './errors.ts'
import { connectInContainer, type ReachParts } from './net/connect.ts'
import type { ReachTarget } from './net/socket-servers.ts'
import { checkBoolean, checkNumber, checkObject } from './options/checks.ts'
import { type ConnectTarget, normalizeConnectTarget } from './options/reach-options.ts'

export type { ConnectTarget }

/** Options of {@link Container.connect}. */
export interface ContainerConnectOptions {
  /** Longest wait for the connection, in milliseconds. @default 10_000 */
  timeoutMs?: number | undefined
  /** Whether our side stays open when the other side has ended, as in `net.connect`. @default false */
  allowHalfOpen?: boolean | undefined
  /** Aborting gives the connection up; once it is made, it is the socket's. */
  signal?: AbortSignal | undefined
}

const kConnectTimeoutMs = 10_000

/** The container as it is reached now. @throws {ContainerStateError} when it does not run. @throws {NotFoundError} */
export async function reachTarget(engine: Engine, id: string): Promise<ReachParts & { container: ReachTarget }> {
  engine.assertOpen()
  const stored = await engine.containers.read(id)
  const { native, sockets, host } = await engine.runtime()
  const { record, state } = stored
  if (!isLive(stored) || state.pid === null) {
    throw new ContainerStateError(`container ${state.name}`, state.status, 'reach into', ['running', 'paused'])
  }
  const container = {
    name: state.name,
    pid: state.pid,
    startTimeTicks: state.startTimeTicks,
    hasUserNamespace: hasUserNamespace(host, record),
    hasNetworkNamespace: hasNetworkNamespace(record),
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
  const limitMs = checkNumber('timeoutMs', timeoutMs, { min: 1 }) ?? kConnectTimeoutMs
  const halfOpen = checkBoolean('allowHalfOpen', allowHalfOpen, false)
  signal?.throwIfAborted()
  const what = 'path' in normalized ? normalized.path : `port ${normalized.port}`
  return withTimeout(limitMs, signal, `Connecting to ${what} in the container`, async (limit) => {
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

/** Gives work that listens to a signal so much time. */
async function withTimeout<T>(
  timeoutMs: number,
  signal: AbortSignal | undefined,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new TimeoutError(what, timeoutMs)), timeoutMs)
  try {
    return await withLinkedSignal(signal, controller, () => work(controller.signal))
  } finally {
    clearTimeout(timer)
  }
}
