// SPDX-License-Identifier: MIT
import type { Readable, Writable } from 'node:stream'
import type { NormalizedExecOptions } from '../options/exec-options.ts'
import { announce } from './announce.ts'
import { type ExecEnd, ExecRun } from './exec-container.ts'
import type { StartedExec } from './exec-start.ts'
import { ExecStreams } from './exec-streams.ts'
import type { ExecTarget } from './exec-target.ts'
import type { Runtime } from './runtime.ts'
import { Stop } from './stop.ts'

/** A program that runs in a running container. */
export interface SpawnedExec {
  /** Of its process, as the host counts. */
  readonly pid: number
  /** `null` unless it is a pipe or a terminal. */
  readonly stdin: Writable | null
  readonly stdout: Readable | null
  /** `null` with a terminal. */
  readonly stderr: Readable | null
  /**
   * Settles when the program has ended; its streams end when nobody can write to them any more. Rejects with `signal.reason` on
   * abort, when the program and all that it has started is gone.
   */
  readonly exited: Promise<ExecEnd>
  /** Sends a signal to the program itself. One that has ended is no error. */
  kill(signal: number): void
  /** Sets the size of the terminal; nothing without one. */
  resize(rows: number, columns: number): void
}

/**
 * Starts a program in a running container and hands over its streams. It is a child of this process's launcher, and ends with it.
 *
 * @throws what startExec throws; `signal.reason` when aborted before it runs
 */
export async function spawnInContainer(
  runtime: Runtime,
  target: ExecTarget,
  options: NormalizedExecOptions,
): Promise<SpawnedExec> {
  const stop = new Stop()
  const streams = new ExecStreams(runtime.native, options)
  const run = new ExecRun(runtime, target, options, stop)
  let started: StartedExec
  try {
    started = await run.start((descriptors, owner) => streams.connect(descriptors, owner))
  } catch (error) {
    streams.destroy()
    run.close()
    throw stop.reason === 'abort' ? options.signal?.reason : error
  }
  const { child } = started
  streams.started(child.ptyFd)
  const failure = announce(child, (program) => options.onStart?.(program), stop)
  const exited = endOf(run, started, streams, options, stop)
  // Who only looks at the streams must not be ended by an abort.
  exited.catch(() => undefined)
  if (failure !== undefined) {
    await exited.catch(() => undefined)
    throw failure.error
  }
  return {
    pid: child.pid,
    stdin: streams.stdin,
    stdout: streams.stdout,
    stderr: streams.stderr,
    exited,
    kill: (signal) => child.kill(signal),
    resize: (rows, columns) => streams.resize(rows, columns),
  }
}

async function endOf(
  run: ExecRun,
  started: StartedExec,
  streams: ExecStreams,
  { signal }: NormalizedExecOptions,
  stop: Stop,
): Promise<ExecEnd> {
  try {
    const end = await run.end(started)
    if (stop.reason === 'abort') throw signal?.reason
    return end
  } catch (error) {
    throw stop.reason === 'abort' ? signal?.reason : error
  } finally {
    streams.ended(stop.reason !== undefined)
    run.close()
  }
}
