// SPDX-License-Identifier: MIT
import { setTimeout as delay } from 'node:timers/promises'
import { TimeoutError } from '../errors.ts'
import type { ExitEvent } from '../launcher/messages.ts'
import { signalName } from '../oci/signals.ts'
import type { NormalizedExecOptions } from '../options/exec-options.ts'
import { announce } from './announce.ts'
import { type Connect, type StartedExec, startExec } from './exec-start.ts'
import type { ExecTarget } from './exec-target.ts'
import type { RunOutcome } from './run-container.ts'
import type { Runtime } from './runtime.ts'
import { StandardStreams } from './standard-streams.ts'
import { Stop, type StopReason, watchStop } from './stop.ts'

/** How a program ended that ran in a running container. */
export interface ExecEnd {
  readonly exit: ExitEvent
  readonly killSignal: string | null
  readonly oomKilled: boolean
  /** Why we ended it; `undefined`: we did not. */
  readonly stopped: StopReason | undefined
  readonly durationMs: number
}

const kSigkill = 9
const kKilledAtBirth: ExitEvent = {
  pid: 0,
  exitCode: null,
  signal: kSigkill,
  userMicros: 0,
  systemMicros: 0,
  maxRssBytes: 0,
}
/** What the program has left running may hold its streams for ever: so long they may say nothing. */
const kPatienceMs = 500
const kEndTimeoutMs = 10_000
/** Of a process that is only on its way into the container: the first thing that it hears is that it must end. */
const kBirthTimeoutMs = 1_000

/**
 * Runs a program in a running container and collects its output. The program is a child of this process's launcher, and ends with it;
 * what it leaves running goes on in the container.
 *
 * @throws what {@link startExec} throws; `signal.reason` when aborted
 */
export async function execInContainer(
  runtime: Runtime,
  target: ExecTarget,
  options: NormalizedExecOptions,
): Promise<RunOutcome> {
  const stop = new Stop()
  const streams = new StandardStreams(runtime.native, options, () => stop.request('overflow'))
  const run = new ExecRun(runtime, target, options, stop)
  try {
    const started = await run.start((descriptors, owner) => streams.connect(descriptors, owner))
    streams.started(started.child.ptyFd)
    const failure = announce(started.child, (program) => options.onStart?.(program), stop)
    const end = await run.end(started)
    const [stdout, stderr] = await streams.collect(stop.reason !== undefined, kPatienceMs)
    if (stop.reason === 'abort') throw options.signal?.reason
    if (failure !== undefined) throw failure.error
    return {
      id: target.id,
      ...end,
      stdout,
      stderr,
      timedOut: stop.reason === 'timeout',
      overflowed: stop.reason === 'overflow',
    }
  } catch (error) {
    streams.abandon()
    if (stop.reason === 'abort') throw options.signal?.reason
    throw error
  } finally {
    run.close()
  }
}

/** What every run of a program in a container has from before its start to its end. */
export class ExecRun {
  readonly #runtime: Runtime
  readonly #target: ExecTarget
  readonly #options: NormalizedExecOptions
  readonly #stop: Stop
  readonly #startedMs = performance.now()
  readonly #unwatch: () => void
  /** Processes that were killed for want of memory before; only with a limit. */
  readonly #oomKills: Promise<number>

  /** @throws `signal.reason` */
  constructor(runtime: Runtime, target: ExecTarget, options: NormalizedExecOptions, stop: Stop) {
    options.signal?.throwIfAborted()
    this.#runtime = runtime
    this.#target = target
    this.#options = options
    this.#stop = stop
    this.#oomKills = this.#readOomKills()
    this.#unwatch = watchStop(options, stop)
    runtime.launcher.hold()
  }

  start(connect: Connect): Promise<StartedExec> {
    return startExec(this.#runtime, this.#target, this.#options, connect, this.#stop)
  }

  /** Waits for the end; after a stop, for that of all that the program has started. */
  async end(started: StartedExec): Promise<ExecEnd> {
    try {
      const exit = await this.#exitOf(started)
      if (this.#stop.reason !== undefined) await started.gone()
      return {
        exit,
        killSignal: exit.signal === null ? null : signalName(exit.signal),
        oomKilled: await this.#isOomKilled(exit),
        stopped: this.#stop.reason,
        durationMs: performance.now() - this.#startedMs,
      }
    } finally {
      started.release()
    }
  }

  /** Undoes the constructor. */
  close(): void {
    this.#unwatch()
    this.#runtime.launcher.unhold()
  }

  async #exitOf({ child }: StartedExec): Promise<ExitEvent> {
    await Promise.race([child.exited, this.#stop.requested])
    if (this.#stop.reason === undefined) return child.exited
    const patience = new AbortController()
    const timeoutMs = child.pid === 0 ? kBirthTimeoutMs : kEndTimeoutMs
    const late = delay(timeoutMs, undefined, { signal: patience.signal }).catch(() => undefined)
    // What never became a process has no end that would be told.
    const neverBorn = child.prepared.then(
      () => child.exited,
      () => (child.pid === 0 ? kKilledAtBirth : child.exited),
    )
    const exit = await Promise.race([child.exited, neverBorn, late])
    patience.abort()
    // The container is frozen: what is killed in it dies when it goes on.
    if (exit === undefined) throw new TimeoutError('Ending a program in a container', timeoutMs)
    return exit
  }

  async #isOomKilled({ signal }: ExitEvent): Promise<boolean> {
    if (signal !== kSigkill || this.#stop.reason !== undefined) return false
    return (await this.#readOomKills()) > (await this.#oomKills)
  }

  async #readOomKills(): Promise<number> {
    const { cgroup, options } = this.#target
    if (options.memoryBytes === null || cgroup === undefined) return 0
    return cgroup.stats().then(
      ({ oomKills }) => oomKills ?? 0,
      () => 0,
    )
  }
}
