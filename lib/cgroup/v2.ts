// SPDX-License-Identifier: MIT
import { readFile } from 'node:fs/promises'
import { UnsupportedHostError } from '../errors.ts'
import { CgroupBase, type CgroupCounters, type CgroupStats, parseFlatKeyed, readNumber, waitUntil } from './cgroup.ts'
import { codeOf, fileError, readCgroupFile, writeCgroupFile } from './cgroup-fs.ts'
import type { CgroupWrite } from './limits.ts'
import { type CgroupUsage, readUsageV2 } from './usage.ts'

/** A cgroup on the unified hierarchy: one directory for all controllers. */
export class CgroupV2 extends CgroupBase {
  readonly selfAttachPaths: readonly string[] = []
  readonly #dir: string

  constructor(name: string, dir: string) {
    super(name, [dir], dir)
    this.#dir = dir
  }

  protected dirOf(): string {
    return this.#dir
  }

  async usage(): Promise<CgroupUsage> {
    const [rest, { cpuMicros }] = await Promise.all([readUsageV2(this.#dir), readCpuStatV2(this.#dir)])
    return { cpuMicros, ...rest }
  }

  protected async readStats(): Promise<CgroupStats> {
    const [memoryBytes, memoryPeakBytes, pids, counters] = await Promise.all([
      readNumber(`${this.#dir}/memory.current`),
      readNumber(`${this.#dir}/memory.peak`),
      readNumber(`${this.#dir}/pids.current`),
      this.readCounters(),
    ])
    return { memoryBytes, memoryPeakBytes, pids, ...counters }
  }

  protected async readCounters(): Promise<CgroupCounters> {
    const [events, cpu] = await Promise.all([readCgroupFile(`${this.#dir}/memory.events`), readCpuStatV2(this.#dir)])
    return { oomKills: parseFlatKeyed(events).get('oom_kill') ?? null, ...cpu }
  }

  get freezerPath(): string {
    return `${this.#dir}/cgroup.freeze`
  }

  protected async setFrozen(frozen: boolean): Promise<void> {
    const path = this.freezerPath
    try {
      await writeCgroupFile(path, frozen ? '1' : '0')
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw fileError(`${frozen ? 'Freezing' : 'Thawing'} cgroup ${this.name}`, error)
      throw new UnsupportedHostError('pausing containers', `${path} does not exist`, 'use Linux 5.2 or later.', error)
    }
    await waitFrozenV2(this.name, this.#dir, frozen)
  }

  /** Peak and residue of memory cannot be cleared here for all readers, and one mkdir makes a new cgroup: not worth it. */
  protected async resetState(applied: readonly CgroupWrite[]): Promise<boolean> {
    const charged = await readNumber(`${this.#dir}/memory.current`)
    return charged === null && applied.length === 0
  }
}

/** CPU time as cpu.stat of a v2 cgroup tells it, which needs no controller. */
export async function readCpuStatV2(
  dir: string,
): Promise<Pick<CgroupStats, 'cpuMicros' | 'userMicros' | 'systemMicros'>> {
  const stat = parseFlatKeyed(await readCgroupFile(`${dir}/cpu.stat`))
  return {
    cpuMicros: stat.get('usage_usec') ?? null,
    userMicros: stat.get('user_usec') ?? null,
    systemMicros: stat.get('system_usec') ?? null,
  }
}

/** Waits until the v2 freezer has reached the wanted state. */
export async function waitFrozenV2(name: string, dir: string, frozen: boolean): Promise<void> {
  const wanted = frozen ? 1 : 0
  await waitUntil(`${frozen ? 'Freezing' : 'Thawing'} cgroup ${name}`, async () => {
    try {
      return parseFlatKeyed(await readFile(`${dir}/cgroup.events`, 'utf8')).get('frozen') === wanted
    } catch (error) {
      // A cgroup that is gone is neither.
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENODEV') return true
      throw fileError(`Reading the state of cgroup ${name}`, error)
    }
  })
}
