// SPDX-License-Identifier: MIT
import type { StoredContainer } from './containers/container-store.ts'
import { toOptions } from './containers/recorded-options.ts'
import type { Engine } from './engine.ts'
import { ContainerStateError } from './errors.ts'
import { normalizeContainerOptions } from './options/normalize-container-options.ts'
import type { ExecTarget } from './runtime/exec-target.ts'

const kShortId = 12

/** Finds what a program needs to know of the container that it joins, and remembers it while the same process runs there. */
export class ExecTargetFinder {
  readonly #engine: Engine
  readonly #id: string
  #known: ExecTarget | undefined

  constructor(engine: Engine, id: string) {
    this.#engine = engine
    this.#id = id
  }

  /** @throws {ContainerStateError} when it does not run. @throws {NotFoundError} */
  async find(): Promise<ExecTarget> {
    const { record, state } = await this.#engine.containers.read(this.#id)
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

  async #make(
    record: StoredContainer['record'],
    process: { pid: number; startTimeTicks: number },
  ): Promise<ExecTarget> {
    const { host } = await this.#engine.runtime()
    const options = normalizeContainerOptions(record.command, toOptions(record.options))
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
