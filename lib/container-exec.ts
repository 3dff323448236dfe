// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto'
import type { StoredContainer } from './containers/container-store.ts'
import { optionsOf } from './containers/recorded-options.ts'
import type { Engine } from './engine.ts'
import { ContainerStateError } from './errors.ts'
import type { ExitEvent } from './launcher/messages.ts'
import { type ExecTarget, isRunning } from './runtime/exec-target.ts'

const kShortId = 12

/** Finds what a program needs to know of the container that it joins, and remembers it while the same process runs there. */
export class ExecTargetFinder {
  readonly #engine: Engine
  readonly #id: string
  #known: ExecTarget | undefined
  #stored: StoredContainer | undefined
  #renames = 0

  constructor(engine: Engine, id: string) {
    this.#engine = engine
    this.#id = id
  }

  /** @throws {ContainerStateError} when it does not run. @throws {NotFoundError} */
  async find(): Promise<ExecTarget> {
    const { native } = await this.#engine.runtime()
    const { containers } = this.#engine
    const { renames } = containers
    if (this.#known !== undefined && this.#renames === renames && isRunning(native, this.#known)) return this.#known
    this.#stored = await containers.read(this.#id)
    this.#renames = renames
    const { record, state } = this.#stored
    const { pid, startTimeTicks, status, name } = state
    // A frozen container would freeze what joins it, and whoever waits for that.
    if (status !== 'running' || pid === null || startTimeTicks === null) {
      throw new ContainerStateError(`in container ${name}`, status, 'exec', ['running'])
    }
    if (this.#known?.pid === pid && this.#known.startTimeTicks === startTimeTicks) return this.#known
    const target = await this.#make(record, { pid, startTimeTicks })
    this.#known = target
    return target
  }

  /** Finds it, and runs or starts a program there, of which is told meanwhile: nobody waits for that to be written. */
  async tellOf<T extends { exit: ExitEvent } | { exited: Promise<{ exit: ExitEvent }> }>(
    command: readonly string[],
    work: (target: ExecTarget) => Promise<T>,
  ): Promise<T> {
    const target = await this.find()
    const tellEnd = this.#tellStart(command)
    const working = work(target)
    const told = endOf(working).then(
      ({ exit }) => tellEnd(exit),
      () => tellEnd(),
    )
    this.#engine.containers.followProgram(this.#id, told)
    const result = await working
    if ('exit' in result) await told
    return result
  }

  #tellStart(command: readonly string[]): (exit?: Partial<ExitEvent>) => void {
    const { containers } = this.#engine
    const stored = this.#stored
    if (stored === undefined) return () => undefined
    const common = { execID: randomBytes(32).toString('hex'), command: command[0] }
    containers.tellLater(stored, 'exec_create', common)
    containers.tellLater(stored, 'exec_start', common)
    return (exit = {}) => {
      const code = exit.exitCode ?? (typeof exit.signal === 'number' ? 128 + exit.signal : undefined)
      containers.tellLater(stored, 'exec_die', { ...common, exitCode: code?.toString() })
    }
  }

  async #make(
    record: StoredContainer['record'],
    process: { pid: number; startTimeTicks: number },
  ): Promise<ExecTarget> {
    const { host } = await this.#engine.runtime()
    const options = optionsOf(record)
    return {
      id: record.id,
      ...process,
      hostname: options.hostname ?? record.id.slice(0, kShortId),
      cgroup: await host.driver.open(record.id),
      imageConfig: record.imageConfig,
      options,
    }
  }
}

async function endOf(
  working: Promise<{ exit: ExitEvent } | { exited: Promise<{ exit: ExitEvent }> }>,
): Promise<{ exit: ExitEvent }> {
  const result = await working
  return 'exit' in result ? result : await result.exited
}
