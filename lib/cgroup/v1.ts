// SPDX-License-Identifier: MIT
import { readFile } from 'node:fs/promises'
import { UnsupportedHostError } from '../errors.ts'
import { CgroupBase, type CgroupCounters, type CgroupStats, parseFlatKeyed, readNumber, waitUntil } from './cgroup.ts'
import { readCgroupFile, tryWrite, writeCgroupFile } from './cgroup-fs.ts'
import type { CgroupWrite } from './limits.ts'
import { type CgroupUsage, readUsageV1 } from './usage.ts'
import { readCpuStatV2, waitFrozenV2 } from './v2.ts'

/** cpuacct.stat counts in ticks of USER_HZ, which is 100 on every architecture we run on. */
const kMicrosPerTick = 10_000

/** Charges that may stay behind: the kernel hands them out to each CPU in batches and takes them back later. */
const kResidueBytes = 256 * 1024

/** A cgroup on v1 hierarchies, with a directory on the v2 mount where the host is hybrid. */
export class CgroupV1 extends CgroupBase {
  readonly selfAttachPaths: readonly string[]
  readonly #byController: ReadonlyMap<string, string>

  /**
   * @param v1Dirs — one directory per v1 hierarchy
   * @param byController — from controller to one of `v1Dirs`
   */
  constructor(
    name: string,
    v1Dirs: readonly string[],
    byController: ReadonlyMap<string, string>,
    unifiedDir: string | undefined,
  ) {
    super(name, unifiedDir === undefined ? v1Dirs : [...v1Dirs, unifiedDir], unifiedDir)
    this.selfAttachPaths = v1Dirs.map((dir) => `${dir}/tasks`)
    this.#byController = byController
  }

  protected dirOf(controller: string): string | undefined {
    return this.#byController.get(controller)
  }

  async usage(): Promise<CgroupUsage> {
    const [rest, { cpuMicros }] = await Promise.all([
      readUsageV1((controller, name) => this.#file(controller, name)),
      this.#readCpu(),
    ])
    return { cpuMicros, ...rest }
  }

  protected async readStats(): Promise<CgroupStats> {
    const file = (controller: string, name: string) => this.#file(controller, name)
    const [memoryBytes, memoryPeakBytes, pids, counters] = await Promise.all([
      readNumber(file('memory', 'memory.usage_in_bytes')),
      readNumber(file('memory', 'memory.max_usage_in_bytes')),
      readNumber(file('pids', 'pids.current')),
      this.readCounters(),
    ])
    return { memoryBytes, memoryPeakBytes, pids, ...counters }
  }

  protected async readCounters(): Promise<CgroupCounters> {
    const [oomText, cpu] = await Promise.all([this.#read('memory', 'memory.oom_control'), this.#readCpu()])
    return { oomKills: parseFlatKeyed(oomText).get('oom_kill') ?? null, ...cpu }
  }

  async #readCpu(): Promise<Pick<CgroupStats, 'cpuMicros' | 'userMicros' | 'systemMicros'>> {
    // The v2 mount of a hybrid host counts CPU time without any controller, in one file.
    if (this.unifiedDir !== undefined) {
      const cpu = await readCpuStatV2(this.unifiedDir)
      if (cpu.cpuMicros !== null) return cpu
    }
    const [usage, user, system] = await Promise.all([
      readNumber(this.#file('cpuacct', 'cpuacct.usage')),
      readNumber(this.#file('cpuacct', 'cpuacct.usage_user')),
      readNumber(this.#file('cpuacct', 'cpuacct.usage_sys')),
    ])
    const stat = parseFlatKeyed(user === null ? await this.#read('cpuacct', 'cpuacct.stat') : undefined)
    const micros = (nanos: number | null, ticks: number | undefined) =>
      nanos !== null ? Math.round(nanos / 1_000) : ticks === undefined ? null : ticks * kMicrosPerTick
    return {
      cpuMicros: micros(usage, undefined),
      userMicros: micros(user, stat.get('user')),
      systemMicros: micros(system, stat.get('system')),
    }
  }

  get freezerPath(): string | undefined {
    return this.unifiedDir === undefined ? this.#file('freezer', 'freezer.state') : `${this.unifiedDir}/cgroup.freeze`
  }

  protected async setFrozen(frozen: boolean): Promise<void> {
    // The v2 freezer needs no controller, and lets a frozen process be killed; it came with Linux 5.2.
    if (this.unifiedDir !== undefined && (await tryWrite(`${this.unifiedDir}/cgroup.freeze`, frozen ? '1' : '0'))) {
      await waitFrozenV2(this.name, this.unifiedDir, frozen)
      return
    }
    const path = this.#file('freezer', 'freezer.state')
    if (path === undefined) {
      throw new UnsupportedHostError(
        'pausing containers',
        "no mount in /proc/self/mountinfo has the cgroup controller 'freezer'",
        'mount it with mount -t cgroup -o freezer cgroup /sys/fs/cgroup/freezer.',
      )
    }
    const wanted = frozen ? 'FROZEN' : 'THAWED'
    await waitUntil(`${frozen ? 'Freezing' : 'Thawing'} cgroup ${this.name}`, async () => {
      // Written again each time: a process forked meanwhile may have kept the state at FREEZING.
      await writeCgroupFile(path, wanted)
      return (await readFile(path, 'utf8')).trim() === wanted
    })
  }

  protected async resetState(applied: readonly CgroupWrite[]): Promise<boolean> {
    for (const write of resetWritesV1(applied)) {
      const value = write.inherit === true ? await this.#parentValue(write) : write.value
      await writeCgroupFile(this.pathOf(write), value)
    }
    return await this.#resetMemory()
  }

  /** Gives back pages that the dead have left behind, which would count against the next container's limit. */
  async #resetMemory(): Promise<boolean> {
    const dir = this.dirOf('memory')
    if (dir === undefined) return true
    if ((await readNumber(`${dir}/memory.usage_in_bytes`)) !== 0) {
      if (!(await tryWrite(`${dir}/memory.force_empty`, '0'))) return false
      if (((await readNumber(`${dir}/memory.usage_in_bytes`)) ?? 0) > kResidueBytes) return false
    }
    const cleared = await Promise.all(
      ['memory.max_usage_in_bytes', 'memory.failcnt'].map((file) => tryWrite(`${dir}/${file}`, '0')),
    )
    return cleared.every(Boolean)
  }

  async #parentValue({ controller, file }: CgroupWrite): Promise<string> {
    return (await readFile(`${this.dirOf(controller)}/../${file}`, 'utf8')).trim()
  }

  #file(controller: string, name: string): string | undefined {
    const dir = this.dirOf(controller)
    return dir === undefined ? undefined : `${dir}/${name}`
  }

  async #read(controller: string, name: string): Promise<string | undefined> {
    const path = this.#file(controller, name)
    return path === undefined ? undefined : await readCgroupFile(path)
  }
}

/** A write that undoes another; `inherit` means the value of the directory above. */
export interface ResetWrite extends CgroupWrite {
  inherit?: boolean
}

const kUnlimitedV1: Readonly<Record<string, string>> = {
  'memory.memsw.limit_in_bytes': '-1',
  'memory.limit_in_bytes': '-1',
  'memory.soft_limit_in_bytes': '-1',
  'memory.swappiness': '60',
  'cpu.shares': '1024',
  'cpu.cfs_quota_us': '-1',
  'cpu.cfs_period_us': '100000',
  'pids.max': 'max',
  'blkio.weight': '500',
  'blkio.bfq.weight': '100',
}

/**
 * The writes that undo `applied` on v1. Order: memory plus swap is raised before memory, and the quota is dropped before the
 * period changes. Device rules go back to what the parent allows.
 *
 * @throws {Error} for a file whose first value is not known
 */
export function resetWritesV1(applied: readonly CgroupWrite[]): ResetWrite[] {
  const order = Object.keys(kUnlimitedV1)
  const rank = ({ file }: CgroupWrite) => order.indexOf(file)
  const writes = new Map<string, ResetWrite>()
  for (const { controller, file, value } of [...applied].sort((a, b) => rank(a) - rank(b))) {
    const unlimited = kUnlimitedV1[file]
    if (unlimited !== undefined) writes.set(file, { controller, file, value: unlimited })
    else if (controller === 'cpuset') writes.set(file, { controller, file, value: '', inherit: true })
    else if (controller === 'devices') writes.set('devices', { controller, file: 'devices.allow', value: 'a' })
    else if (file.endsWith('_device')) {
      const device = value.split(' ')[0] ?? ''
      writes.set(`${file} ${device}`, { controller, file, value: `${device} 0` })
    } else throw new Error(`no known first value of ${file}`)
  }
  return [...writes.values()]
}
