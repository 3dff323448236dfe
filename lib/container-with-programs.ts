// SPDX-License-Identifier: MIT
import { ExecTargetFinder } from './container-exec.ts'
import { ContainerProcess } from './container-process.ts'
import { ContainerReach } from './container-with-reach.ts'
import type { Engine } from './engine.ts'
import {
  type ExecDetachedOptions,
  type ExecOptions,
  normalizeDetachedExec,
  normalizeExecOptions,
} from './options/exec-options.ts'
import { toResult } from './run-outcome.ts'
import type { RunResult } from './run-result.ts'
import { withCallerStreams } from './runtime/caller-streams.ts'
import { execInContainer } from './runtime/exec-container.ts'
import { launchInContainer } from './runtime/exec-detached.ts'
import { spawnInContainer } from './runtime/exec-spawn.ts'

/** A container as far as further programs in it go. */
export abstract class ContainerPrograms extends ContainerReach {
  readonly #engine: Engine
  readonly #execTarget: ExecTargetFinder

  protected constructor(engine: Engine, id: string) {
    super(engine, id)
    this.#engine = engine
    this.#execTarget = new ExecTargetFinder(engine, id)
  }

  /**
   * Runs a program in the container beside what runs there, in its namespaces and cgroups, and waits for its end; output is collected
   * unless `stdout` and `stderr` say otherwise.
   *
   * @param command - program and arguments; no shell.
   * @throws {ContainerStateError} when it does not run. @throws {ExitError} when the program fails, unless `reject: false`.
   * @throws {ContainerStartError} when it never ran: `exitCode` 127 not found, 126 not executable.
   * @example
   * const { stdout } = await container.exec(['cat', '/etc/hostname'])
   */
  exec(command: readonly string[], options: ExecOptions & { encoding: 'buffer' }): Promise<RunResult<Buffer>>
  exec(
    command: readonly string[],
    options?: ExecOptions & { encoding?: BufferEncoding | undefined },
  ): Promise<RunResult>
  exec(command: readonly string[], options?: ExecOptions): Promise<RunResult<string | Buffer>>
  async exec(command: readonly string[], options: ExecOptions = {}): Promise<RunResult<string | Buffer>> {
    return withCallerStreams(normalizeExecOptions(command, options), async (normalized) => {
      this.#engine.assertOpen()
      const runtime = await this.#engine.runtime()
      const outcome = await this.#execTarget.tellOf(command, (target) => execInContainer(runtime, target, normalized))
      return toResult(outcome, normalized, 'The program in the container')
    })
  }

  /**
   * Starts a program in the container beside what runs there, and hands over its streams.
   *
   * @throws {ContainerStateError} when it does not run. @throws {ContainerStartError} when the program cannot be run.
   */
  async spawn(command: readonly string[], options: ExecOptions = {}): Promise<ContainerProcess> {
    const normalized = normalizeExecOptions(command, options)
    this.#engine.assertOpen()
    const runtime = await this.#engine.runtime()
    return new ContainerProcess(
      await this.#execTarget.tellOf(command, (target) => spawnInContainer(runtime, target, normalized)),
    )
  }

  /**
   * Starts a program in the container that goes on by itself, whatever becomes of this process, until the container ends. It has neither
   * input nor output; nobody hears how it ends, and it is a child of the container's first process. Resolves when it runs.
   *
   * @throws {ContainerStateError} when the container does not run. @throws {ContainerStartError} when the program cannot be run.
   */
  async execDetached(command: readonly string[], options: ExecDetachedOptions = {}): Promise<void> {
    const normalized = normalizeDetachedExec(command, options)
    this.#engine.assertOpen()
    const runtime = await this.#engine.runtime()
    await launchInContainer(runtime, await this.#execTarget.find(), normalized)
  }
}
