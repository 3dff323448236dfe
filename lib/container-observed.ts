// SPDX-License-Identifier: MIT
import { ContainerPrograms } from './container-with-programs.ts'
import { processesOf, statsOnce, statsStream } from './containers/observe-stored.ts'
import type { ContainerProcessList } from './containers/process-list.ts'
import type { ContainerStats } from './containers/stats.ts'
import type { Engine } from './engine.ts'
import { checkObject, checkTimeout } from './options/checks.ts'

export type { ContainerProcessList, ContainerStats }

/** Options of {@link Container.stats} for a single look. */
export interface ContainerStatsOptions {
  /** Time over which the use of processors is measured, in milliseconds; 0: not at all, and `cpu.percent` is `null`. @default 1000 */
  overMs?: number | undefined
  signal?: AbortSignal | undefined
}

/** Options of {@link Container.stats} for one look after the other. */
export interface ContainerStatsStreamOptions {
  /** Pause between two, in milliseconds. */
  everyMs: number
  signal?: AbortSignal | undefined
}

const kDefaultOverMs = 1000

/** A container as far as looking at it from outside goes. */
export abstract class ContainerObservation extends ContainerPrograms {
  readonly #engine: Engine

  protected constructor(engine: Engine, id: string) {
    super(engine, id)
    this.#engine = engine
  }

  /**
   * The processes of the container, also those of {@link exec}, with the ids that they have on the host, as `docker top` lists them.
   *
   * @throws {ContainerStateError} when it does not run. @throws {UnsupportedHostError} where it has no cgroup.
   */
  async top(): Promise<ContainerProcessList> {
    this.#engine.assertOpen()
    return await processesOf(this.#engine.containers, await this.#engine.runtime(), this.id)
  }

  /**
   * What the container uses right now, as `docker stats` counts; with `everyMs` again and again, until it does not run.
   *
   * @throws {ContainerStateError} when it does not run. @throws {UnsupportedHostError} where it has no cgroup.
   * @example
   * for await (const { cpu, memory } of container.stats({ everyMs: 1000 })) console.log(cpu.percent, memory.usageBytes)
   */
  stats(options?: ContainerStatsOptions): Promise<ContainerStats>
  stats(options: ContainerStatsStreamOptions): AsyncGenerator<ContainerStats>
  stats(
    options: ContainerStatsOptions | ContainerStatsStreamOptions = {},
  ): Promise<ContainerStats> | AsyncGenerator<ContainerStats> {
    if ('everyMs' in options && options.everyMs !== undefined) return this.#statsStream(options)
    return this.#statsOnce(options as ContainerStatsOptions)
  }

  async #statsOnce(options: ContainerStatsOptions): Promise<ContainerStats> {
    checkObject('', options, ['overMs', 'signal'])
    const { signal } = options
    const overMs = checkTimeout('overMs', options.overMs, 0) ?? kDefaultOverMs
    signal?.throwIfAborted()
    this.#engine.assertOpen()
    return await statsOnce(this.#engine.containers, await this.#engine.runtime(), this.id, { overMs, signal })
  }

  async *#statsStream(options: ContainerStatsStreamOptions): AsyncGenerator<ContainerStats> {
    checkObject('', options, ['everyMs', 'signal'])
    const { signal } = options
    const everyMs = checkTimeout('everyMs', options.everyMs) ?? kDefaultOverMs
    signal?.throwIfAborted()
    this.#engine.assertOpen()
    yield* statsStream(this.#engine.containers, await this.#engine.runtime(), this.id, { everyMs, signal })
  }
}
