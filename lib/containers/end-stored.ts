// SPDX-License-Identifier: MIT
import { ContainerStateError } from '../errors.ts'
import type { Native } from '../launcher/native.ts'
import { isErrno } from '../store/atomic.ts'
import { pause } from '../store/lock.ts'
import type { ContainerStore, StoredContainer } from './container-store.ts'
import { processStatus } from './process-status.ts'

const kSigkill = 9
const kLive = ['running', 'paused'] as const
const kRecordPollMs = 5
const kGoneRetryMs = 10

/** What is needed to end containers and wait for their ends. */
export interface EndParts {
  readonly containers: ContainerStore
  readonly native: Native
  /** Lets a frozen container go on. */
  readonly thaw: (id: string) => Promise<void>
}

/** Whether a container has processes. */
export function isLive({ state }: StoredContainer): boolean {
  return kLive.some((status) => status === state.status)
}

/**
 * Sends a signal to the first process of a container. What is frozen gets it when it goes on; SIGKILL ends that too.
 *
 * @throws {ContainerStateError} when it does not run. @throws {NotFoundError}
 */
export async function signalStored(parts: EndParts, id: string, signal: number): Promise<void> {
  const stored = await parts.containers.read(id)
  if (!isLive(stored)) {
    throw new ContainerStateError(`container ${stored.state.name}`, stored.state.status, 'signal', kLive)
  }
  await send(parts, stored, signal)
}

/**
 * Ends a container: its stop signal, and SIGKILL when that has not helped in time. One that has ended is no error.
 *
 * @throws {NotFoundError} when it is gone. @throws `signal.reason` on abort; the container may end all the same.
 */
export async function stopStored(
  parts: EndParts,
  id: string,
  { stopSignal, timeoutMs, signal }: { stopSignal: number; timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<void> {
  const stored = await parts.containers.read(id)
  if (!isLive(stored)) return
  const before = stored.state.pid
  await send(parts, stored, stopSignal)
  if (stored.state.status === 'paused') await parts.thaw(id)
  const patience = AbortSignal.timeout(timeoutMs)
  const stopping = new AbortController()
  const stop = (): void => stopping.abort()
  patience.addEventListener('abort', stop, { once: true })
  signal?.addEventListener('abort', stop, { once: true })
  try {
    if (await waitForEnd(parts, id, stopping.signal).then(() => true, isAborted(stopping.signal))) return
  } finally {
    patience.removeEventListener('abort', stop)
    signal?.removeEventListener('abort', stop)
  }
  signal?.throwIfAborted()
  const again = await parts.containers.read(id)
  // Somebody may have started it again meanwhile: that is not the one we were asked to stop.
  if (!isLive(again) || again.state.pid !== before) return
  await send(parts, again, kSigkill)
  await waitForEnd(parts, id, signal)
}

/**
 * Waits until a container does not run. @returns it as it is then.
 *
 * @throws {NotFoundError} when it is gone. @throws `signal.reason` on abort.
 */
export async function waitForEnd(parts: EndParts, id: string, signal?: AbortSignal): Promise<StoredContainer> {
  for (;;) {
    signal?.throwIfAborted()
    const stored = await parts.containers.read(id)
    const { pid } = stored.state
    if (!isLive(stored) || pid === null) return stored
    await processEnd(parts.native, pid, signal)
    // Its parent writes the end down right after it.
    await pause(kRecordPollMs, signal)
  }
}

async function processEnd(native: Native, pid: number, signal: AbortSignal | undefined): Promise<void> {
  let fd: number
  try {
    fd = native.pidfdOpen(pid)
  } catch (error) {
    if (!isErrno(error, 'ESRCH', 'ENOSYS')) throw error
    return await pause(kGoneRetryMs, signal)
  }
  await new Promise<void>((resolve, reject) => {
    const watch = new native.Watch(fd, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    const onAbort = (): void => {
      watch.close()
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

async function send(parts: EndParts, { record, state }: StoredContainer, signal: number): Promise<void> {
  const { pid, startTimeTicks, status } = state
  if (pid === null) return
  let fd: number
  try {
    fd = parts.native.pidfdOpen(pid)
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return
    throw error
  }
  try {
    // With the descriptor in hand the pid cannot change hands any more: now is the time to look whose it is.
    const found = await processStatus(pid)
    if (found === undefined || (startTimeTicks !== null && found.startTimeTicks !== startTimeTicks)) return
    parts.native.pidfdSendSignal(fd, signal)
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error
  } finally {
    parts.native.close(fd)
  }
  // A frozen process of v1 dies only once it goes on.
  if (status === 'paused' && signal === kSigkill) await parts.thaw(record.id)
}

function isAborted(signal: AbortSignal): (error: unknown) => false {
  return (error) => {
    if (signal.aborted) return false
    throw error
  }
}
