// SPDX-License-Identifier: MIT
import { ExecTargetFinder } from './container-exec.ts'
import { endParts } from './container-management.ts'
import { reachTarget } from './container-reach.ts'
import type { StoredContainer } from './containers/container-store.ts'
import { isLive, waitForEnd } from './containers/end-stored.ts'
import { isOfHealth, readHealth } from './containers/health-file.ts'
import { readLogs } from './containers/log-reader.ts'
import type { LogLine } from './containers/log-record.ts'
import type { Engine } from './engine.ts'
import { ContainerStateError } from './errors.ts'
import { DirectoryChanges } from './events/directory-changes.ts'
import { connectInContainer } from './net/connect.ts'
import { hangUp } from './net/hang-up.ts'
import { httpStatus } from './net/http-status.ts'
import { checkObject, checkTimeout } from './options/checks.ts'
import { normalizeExecOptions } from './options/exec-options.ts'
import { normalizeCondition, type WaitCondition } from './options/wait-options.ts'
import { waitForCondition } from './readiness/wait.ts'
import type { WaitProbes } from './readiness/watcher.ts'
import { execInContainer } from './runtime/exec-container.ts'

/** Options of {@link Container.waitFor}. */
export interface ContainerWaitForOptions {
  /** Longest wait, in milliseconds. @default 60_000 */
  timeoutMs?: number | undefined
  /** Aborting ends the wait. */
  signal?: AbortSignal | undefined
}

const kTimeoutMs = 60_000
const kLastLines = 10
const kMaxExecOutput = 64 * 1024

/** See {@link Container.waitFor}. */
export async function waitForIn(
  engine: Engine,
  id: string,
  condition: WaitCondition,
  options: ContainerWaitForOptions = {},
): Promise<void> {
  const normalized = normalizeCondition(condition)
  const { timeoutMs, signal } = checkObject('', options, ['timeoutMs', 'signal']) as ContainerWaitForOptions
  const limitMs = checkTimeout('timeoutMs', timeoutMs) ?? kTimeoutMs
  signal?.throwIfAborted()
  engine.assertOpen()
  const { containers } = engine
  const stored = await containers.read(id)
  const { state } = stored
  if (state.startedAt === null) {
    throw new ContainerStateError(`container ${state.name}`, state.status, 'wait for', ['running', 'paused', 'exited'])
  }
  // Its logs are to be read although it may be removed at its end.
  await using _onlooker = state.autoRemove ? await containers.onlooker(id, signal) : undefined
  await waitForCondition(probesOf(engine, stored), normalized, { timeoutMs: limitMs, signal })
}

/** Options of {@link Container.start} besides those of {@link Container.create}. */
export interface ContainerReadyOptions {
  /** What to wait for once it runs. One that does not get ready is removed again. @default nothing */
  waitFor?: WaitCondition | undefined
  /** Longest wait for that, in milliseconds. @default 60_000 */
  waitTimeoutMs?: number | undefined
}

/** Takes what is to be waited for out of some options. @throws {InvalidOptionError} before anything is touched. */
export function takeWaitFor<T extends ContainerReadyOptions>(
  options: T,
): { rest: Omit<T, keyof ContainerReadyOptions>; wait: ContainerReadyOptions } {
  const { waitFor, waitTimeoutMs, ...rest } = checkObject('options', options) as T
  if (waitFor !== undefined) normalizeCondition(waitFor, 'waitFor')
  checkTimeout('waitTimeoutMs', waitTimeoutMs)
  return { rest, wait: { waitFor, waitTimeoutMs } }
}

/** Ways to look at the run of a container that a state tells of. */
function probesOf(engine: Engine, stored: StoredContainer): WaitProbes {
  const { record, state } = stored
  const { id } = record
  const execTarget = new ExecTargetFinder(engine, id)
  return {
    name: state.name,
    lines: (streams, signal) => linesOf(engine, stored, streams, signal),
    lastLines: () => lastLinesOf(engine, stored),
    async ended(signal) {
      const over = await waitForEnd(endParts(engine), id, { signal, pid: state.pid })
      return isLive(over) ? { exitCode: null, killSignal: null, oomKilled: false } : over.state
    },
    async connect(target, signal) {
      const { container, ...parts } = await reachTarget(engine, id)
      hangUp(await connectInContainer(parts, container, target, { signal }))
    },
    async httpStatus(target, path, signal) {
      const { container, ...parts } = await reachTarget(engine, id)
      const socket = await connectInContainer(parts, container, target, { signal })
      return await httpStatus(socket, 'port' in target ? `localhost:${target.port}` : 'localhost', path, signal)
    },
    async exec(command, signal) {
      const options = normalizeExecOptions(command, { signal, reject: false, maxOutputBytes: kMaxExecOutput })
      const { exit, stderr } = await execInContainer(await engine.runtime(), await execTarget.find(), options)
      return { exitCode: exit.exitCode, output: stderr.toString('utf8').trim().split('\n').at(-1) ?? '' }
    },
    healthChanges: () => new DirectoryChanges(engine.containers.directory(id), isOfHealth),
    async health() {
      return (await readHealth(engine.containers.directory(id), await engine.containers.read(id)))?.status
    },
  }
}

/** The log of one run: an earlier one may be in the same files. */
function linesOf(
  engine: Engine,
  { record, state }: StoredContainer,
  streams: readonly ('stdout' | 'stderr')[],
  signal: AbortSignal | undefined,
  tail?: number,
): AsyncGenerator<readonly LogLine[]> {
  const { containers } = engine
  const query = {
    follow: tail === undefined,
    sinceMs: Date.parse(state.startedAt ?? ''),
    untilMs: undefined,
    tail,
    streams,
    signal,
  }
  const hasEnded = async (): Promise<boolean> => {
    const now = await containers.read(record.id).catch(() => undefined)
    return now === undefined || !isLive(now) || now.state.pid !== state.pid
  }
  return readLogs(containers.directory(record.id), query, hasEnded)
}

async function lastLinesOf(engine: Engine, stored: StoredContainer): Promise<string[]> {
  const last: string[] = []
  for await (const lines of linesOf(engine, stored, ['stdout', 'stderr'], undefined, kLastLines)) {
    last.push(...lines.map(({ line }) => line))
  }
  return last
}
