// SPDX-License-Identifier: MIT
import type { NormalizedExecOptions } from '../options/exec-options.ts'
import { ExecRun } from './exec-container.ts'
import type { ExecTarget } from './exec-target.ts'
import type { Runtime } from './runtime.ts'
import { Stop } from './stop.ts'

/**
 * Starts a program in a running container that goes on by itself, as a child of the container's first process. Resolves when it runs.
 *
 * @throws what startExec throws; `signal.reason` when aborted before it runs
 */
export async function launchInContainer(
  runtime: Runtime,
  target: ExecTarget,
  options: NormalizedExecOptions,
): Promise<void> {
  const stop = new Stop()
  const run = new ExecRun(runtime, target, options, stop)
  try {
    // What ends is the process that the program was a child of.
    await run.end(await run.start(() => [-1, -1, -1]))
    if (stop.reason === 'abort') throw options.signal?.reason
  } catch (error) {
    throw stop.reason === 'abort' ? options.signal?.reason : error
  } finally {
    run.close()
  }
}
