// SPDX-License-Identifier: MIT
import { withTimeLimit } from '../async/deadline.ts'
import { allowManyListeners } from '../async/many-listeners.ts'
import { orAborted } from '../async/or-aborted.ts'
import { ContainerStateError, NotFoundError } from '../errors.ts'
import { isLauncher, processStatus } from '../host/process-status.ts'
import type { Native } from '../launcher/native.ts'
import { letGoOn } from '../launcher/waker.ts'
import { isErrno } from '../store/atomic.ts'
import { readBootId } from '../store/container-state.ts'
import { pause } from '../store/lock.ts'
import type { ContainerStore, StoredContainer } from './container-store.ts'
import { openFirstProcess } from './first-process.ts'
import { stopSignalOfRecord } from './recorded-options.ts'
import { isActive } from './resolve-state.ts'

const kSigkill = 9
const kLive = ['running', 'paused'] as const
/** Its parent writes the end down right after it, unless it has much to do. */
const kFirstPollMs = 1
const kLongestPollMs = 50

/** What is needed to end containers and wait for their ends. */
export interface EndParts {
  readonly containers: ContainerStore
  readonly native: Native
  /** Lets a frozen container go on. */
  readonly thaw: (id: string) => Promise<void>
}

/** How to stop a container. */
export interface StopSettings {
  readonly stopSignal: number
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** Whether a container has processes. */
export function isLive({ state }: StoredContainer): boolean {
  return isActive(state)
}

/** Whether there is more to come of a container by itself: it has processes, or will have some. */
export function goesOn(stored: StoredContainer): boolean {
  return isLive(stored) || stored.state.status === 'restarting'
}

/**
 * Sends a signal to a container, as somebody who asks for it. One that is to end it (SIGKILL, or its stop signal) also ends its restart
 * policy, as with Docker: until somebody starts it by hand, it is not started again.
 *
 * @throws {ContainerStateError} when it does not run; one that is about to be started again is ended by what ends. @throws {NotFoundError}
 */
export async function killStored(parts: EndParts, id: string, signal: number): Promise<void> {
  const { record } = await parts.containers.read(id)
  const isToEnd = signal === kSigkill || signal === stopSignalOfRecord(record)
  if (isToEnd && (await endRestarts(parts.containers, id, undefined)).wasDue) return
  await signalStored(parts, id, signal)
}

/**
 * Sends a signal to the first process of a container, whoever holds its lock. What is frozen gets it when it goes on; SIGKILL ends that
 * too.
 *
 * @throws {ContainerStateError} when it does not run. @throws {NotFoundError}
 */
export async function signalStored(parts: EndParts, id: string, signal: number): Promise<void> {
  const stored = await parts.containers.read(id)
  if (!isLive(stored)) {
    throw new ContainerStateError(`container ${stored.state.name}`, stored.state.status, 'signal', kLive)
  }
  await send(parts, stored, signal)
  // A frozen process of cgroup v1 dies only once it goes on.
  if (stored.state.status === 'paused' && signal === kSigkill) await parts.thaw(id)
}

/**
 * Ends a container: its stop signal, and SIGKILL when that has not helped in time. One that has ended is no error; one that is
 * paused goes on.
 *
 * @throws {NotFoundError} when it is gone. @throws `signal.reason` on abort; the container may end all the same.
 */
export async function stopStored(parts: EndParts, id: string, settings: StopSettings): Promise<void> {
  settings.signal?.throwIfAborted()
  const { stored } = await endRestarts(parts.containers, id, settings.signal)
  if (!isLive(stored)) return
  await ignoreRemoval(parts.containers, id, async () => {
    // Or it would be gone before all is told.
    await using _onlooker = stored.state.autoRemove ? await parts.containers.onlooker(id, settings.signal) : undefined
    await send(parts, stored, settings.stopSignal)
    if (stored.state.status === 'paused') await parts.thaw(id)
    if (await endsInTime(parts, stored, settings)) return await tellStop(parts.containers, stored)
    const again = await parts.containers.read(id)
    // Somebody may have started it again meanwhile: that is not the one we were asked to stop.
    if (!isLive(again) || again.state.pid !== stored.state.pid) return
    await send(parts, again, kSigkill)
    if (again.state.status === 'paused') await parts.thaw(id)
    await waitForEnd(parts, id, { signal: settings.signal, pid: stored.state.pid })
    await tellStop(parts.containers, stored)
  })
}

/**
 * Before anything else: it must not be started again while it is being stopped.
 *
 * @returns it as it is then, and whether it was waiting for its next start.
 */
async function endRestarts(
  containers: ContainerStore,
  id: string,
  signal: AbortSignal | undefined,
): Promise<{ stored: StoredContainer; wasDue: boolean }> {
  const seen = await containers.read(id)
  if (seen.state.restart === undefined || !goesOn(seen)) return { stored: seen, wasDue: false }
  await using _lock = await containers.lock(id, { signal })
  const stored = await containers.settleEndLocked(id)
  const { state } = stored
  if (state.restart === undefined || !goesOn(stored)) return { stored, wasDue: false }
  const wasDue = state.status === 'restarting'
  const restart = { ...state.restart, dueMs: null, stoppedIn: await readBootId() }
  const stopped = { ...state, restart, status: wasDue ? ('exited' as const) : state.status }
  await containers.write(id, stopped)
  if (wasDue) await containers.tell(stored, 'stop')
  return { stored: { ...stored, state: stopped }, wasDue }
}

/** After its end, which may be untold yet. */
async function tellStop(containers: ContainerStore, stored: StoredContainer): Promise<void> {
  await containers.settleEnd(stored.record.id)
  await containers.tell(stored, 'stop')
}

/** @returns whether it has ended before it is time for SIGKILL. */
async function endsInTime(
  parts: EndParts,
  { record, state }: StoredContainer,
  { timeoutMs, signal }: StopSettings,
): Promise<boolean> {
  const late = new Error('time is up')
  try {
    await withTimeLimit(
      timeoutMs,
      () => late,
      signal,
      (limit) => waitForEnd(parts, record.id, { signal: limit, pid: state.pid }),
    )
    return true
  } catch (error) {
    if (error !== late) throw error
    return false
  }
}

/** What is removed by itself may be gone before we look. */
async function ignoreRemoval(containers: ContainerStore, id: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof NotFoundError) || containers.remembered(id) === undefined) throw error
  }
}

/** What {@link waitForEnd} waits for. */
export interface EndWait {
  readonly signal?: AbortSignal | undefined
  /** Only this run counts: another one that was started meanwhile is not waited for. */
  readonly pid?: number | null
}

/**
 * Waits until a container does not run. @returns it as it is then.
 *
 * @throws {NotFoundError} when it is gone. @throws `signal.reason` on abort.
 */
export async function waitForEnd(parts: EndParts, id: string, wait: EndWait = {}): Promise<StoredContainer> {
  const { signal } = wait
  if (signal !== undefined) allowManyListeners(signal)
  for (let pauseMs = 0; ; pauseMs = Math.min(pauseMs * 2 || kFirstPollMs, kLongestPollMs)) {
    signal?.throwIfAborted()
    const stored = await parts.containers.read(id)
    const { pid } = stored.state
    if (!isLive(stored) || pid === null || (wait.pid !== undefined && pid !== wait.pid)) return stored
    if (pauseMs > 0) await pause(pauseMs, signal)
    if (pauseMs === kLongestPollMs) await wakeParentOf(pid)
    await processEnd(parts.native, pid, signal)
  }
}

/** Its launcher, which may be another process's, should have recorded the end: should somebody have stopped it, it is let go on. */
async function wakeParentOf(pid: number): Promise<void> {
  const status = await processStatus(pid)
  if (status?.isZombie === true && (await isLauncher(status.parent))) letGoOn(status.parent)
}

async function processEnd(native: Native, pid: number, signal: AbortSignal | undefined): Promise<void> {
  let fd: number
  try {
    fd = native.pidfdOpen(pid)
  } catch (error) {
    // Gone; or a kernel without pidfds, where we look now and then.
    if (isErrno(error, 'ESRCH', 'ENOSYS')) return
    throw error
  }
  let stopWatching = (): void => {}
  const ended = new Promise<void>((resolve) => {
    const watch = new native.Watch(fd, resolve)
    stopWatching = () => watch.close()
  })
  try {
    await orAborted(ended, signal)
  } catch (error) {
    stopWatching()
    throw error
  }
}

async function send({ containers, native }: EndParts, stored: StoredContainer, signal: number): Promise<void> {
  const fd = await openFirstProcess(native, stored.state)
  if (fd === undefined) return
  try {
    // First: what it does about it comes after it.
    await containers.tell(stored, 'kill', { signal: String(signal) })
    native.pidfdSendSignal(fd, signal)
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error
  } finally {
    native.close(fd)
  }
}
