// SPDX-License-Identifier: MIT
import { stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { TimeoutError, UnsupportedHostError } from '../errors.ts'
import { codeOf, fileError, readCgroupFile, removeCgroupDir, tryWrite, walkDirs, writeCgroupFile } from './cgroup-fs.ts'
import type { CgroupWrite } from './limits.ts'
import type { CgroupUsage } from './usage.ts'

/** Use of resources by all processes of a cgroup. `null` where the host's controllers do not tell. Times are microseconds. */
export interface CgroupStats {
  memoryBytes: number | null
  memoryPeakBytes: number | null
  cpuMicros: number | null
  userMicros: number | null
  systemMicros: number | null
  pids: number | null
  oomKills: number | null
}

/** Statistics which only ever grow. */
export type CgroupCounters = Pick<CgroupStats, 'cpuMicros' | 'userMicros' | 'systemMicros' | 'oomKills'>

/** The cgroup of one container: one directory per hierarchy. */
export interface Cgroup {
  readonly name: string
  /** One directory per hierarchy; one on v2; none where limits are `best-effort` and this host lets us make no cgroup. */
  readonly dirs: readonly string[]
  /** `cgroup.procs` of each directory. Writing there makes the kernel wait for all CPUs, often 7 ms: see the next two. */
  readonly procsPaths: readonly string[]
  /**
   * v1 `tasks` of each v1 directory. A process that has one thread joins by writing `0` to each, at some microseconds
   * apiece, as moving just the writer itself needs no system-wide lock.
   */
  readonly selfAttachPaths: readonly string[]
  /** Directory on the v2 mount, for clone3 with CLONE_INTO_CGROUP, which needs no lock either. */
  readonly unifiedDir: string | undefined
  /** The file that says whether it is frozen: `1`, or a word of the v1 freezer's; `undefined` where there is no freezer. */
  readonly freezerPath: string | undefined
  /** Path of the file that a write goes to, for whoever carries it out instead of {@link apply}. */
  pathOf(write: CgroupWrite): string
  /** Writes limits; in order within a controller. What was written before a failure stays. */
  apply(writes: readonly CgroupWrite[]): Promise<void>
  /** Remembers writes that somebody else carried out, so that {@link reset} can undo them. */
  noteApplied(writes: readonly CgroupWrite[]): void
  stats(): Promise<CgroupStats>
  /** What it uses now, since it was made. */
  usage(): Promise<CgroupUsage>
  /** Stops all processes; resolves when all are stopped. */
  freeze(): Promise<void>
  thaw(): Promise<void>
  /** Sends a POSIX signal to all processes, those in nested cgroups too. For SIGKILL, resolves when none is left. */
  killAll(killSignal: NodeJS.Signals): Promise<void>
  /** Process ids as this process sees them, ascending. Processes outside its pid namespace are not among them. */
  processes(): Promise<number[]>
  /**
   * Makes an emptied cgroup as new, for reuse. `false` when it cannot: remove it then. Many small file operations: dearer
   * than a new cgroup when limits were set, so it is for where a new one cannot be afforded.
   */
  reset(): Promise<boolean>
  /** Removes the cgroup and those inside it. Idempotent. */
  remove(): Promise<void>
}

const kEndTimeoutMs = 10_000

/** What v1 and v2 have in common. */
export abstract class CgroupBase implements Cgroup {
  readonly name: string
  readonly dirs: readonly string[]
  abstract readonly selfAttachPaths: readonly string[]
  abstract readonly freezerPath: string | undefined
  readonly unifiedDir: string | undefined
  readonly #applied = new Map<string, CgroupWrite>()
  /** Counters at the last reset: the kernel never lowers them. */
  #baseline: Partial<CgroupCounters> = {}

  constructor(name: string, dirs: readonly string[], unifiedDir: string | undefined) {
    this.name = name
    this.dirs = dirs
    this.unifiedDir = unifiedDir
  }

  get procsPaths(): readonly string[] {
    return this.dirs.map((dir) => `${dir}/cgroup.procs`)
  }

  pathOf(write: CgroupWrite): string {
    const dir = this.dirOf(write.controller)
    if (dir === undefined) {
      throw new UnsupportedHostError(
        `the cgroup controller '${write.controller}'`,
        `cgroup ${this.name} has no directory in which to write ${write.file}`,
        "leave out the limit, or say limits: 'best-effort'.",
      )
    }
    return `${dir}/${write.file}`
  }

  async apply(writes: readonly CgroupWrite[]): Promise<void> {
    const byController = new Map<string, [string, CgroupWrite][]>()
    // All paths first: a missing controller must not leave half of the limits set.
    for (const write of writes) {
      const list = byController.get(write.controller) ?? []
      byController.set(write.controller, [...list, [this.pathOf(write), write]])
    }
    const results = await Promise.allSettled([...byController.values()].map((list) => this.#applyInOrder(list)))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  async #applyInOrder(list: readonly [string, CgroupWrite][]): Promise<void> {
    for (const [path, write] of list) {
      this.noteApplied([write])
      try {
        await writeCgroupFile(path, write.value)
      } catch (error) {
        throw fileError(
          `Setting ${write.file} of cgroup ${this.name} to '${write.value}'`,
          error,
          applyHint(write, error),
        )
      }
    }
  }

  noteApplied(writes: readonly CgroupWrite[]): void {
    for (const write of writes) this.#applied.set(`${write.file} ${deviceOf(write)}`, write)
  }

  async stats(): Promise<CgroupStats> {
    const raw = await this.readStats()
    const since = (key: keyof CgroupCounters) => {
      const value = raw[key]
      return value === null ? null : Math.max(0, value - (this.#baseline[key] ?? 0))
    }
    return {
      ...raw,
      cpuMicros: since('cpuMicros'),
      userMicros: since('userMicros'),
      systemMicros: since('systemMicros'),
      oomKills: since('oomKills'),
    }
  }

  async freeze(): Promise<void> {
    await this.setFrozen(true)
  }

  async thaw(): Promise<void> {
    await this.setFrozen(false)
  }

  async killAll(killSignal: NodeJS.Signals): Promise<void> {
    if (killSignal !== 'SIGKILL') {
      this.#signalAll(await this.processes(), killSignal)
      return
    }
    // One write that also catches processes which are being forked; kernels before 5.14 lack the file.
    const wrote = this.unifiedDir !== undefined && (await tryWrite(`${this.unifiedDir}/cgroup.kill`, '1'))
    const deadline = performance.now() + kEndTimeoutMs
    for (let round = 0; ; round++) {
      const pids = await this.processes()
      if (pids.length === 0) return
      if (performance.now() > deadline)
        throw new TimeoutError(`Killing the processes of cgroup ${this.name}`, kEndTimeoutMs)
      if (!wrote || round > 0) await this.#killFrozen()
      await delay(Math.min(2 ** round, 50))
    }
  }

  /** A frozen process cannot exit, so that no process id can pass to a stranger between the list and the signal. */
  async #killFrozen(): Promise<void> {
    const frozen = await this.setFrozen(true).then(
      () => true,
      () => false,
    )
    try {
      this.#signalAll(await this.processes(), 'SIGKILL')
    } finally {
      if (frozen) await this.setFrozen(false).catch(() => undefined)
    }
  }

  #signalAll(pids: readonly number[], killSignal: NodeJS.Signals): void {
    for (const pid of pids) {
      try {
        process.kill(pid, killSignal)
      } catch (error) {
        if (codeOf(error) !== 'ESRCH') throw fileError(`Sending ${killSignal} to process ${pid}`, error)
      }
    }
  }

  async processes(): Promise<number[]> {
    const dirs = (await Promise.all(this.dirs.map(walkDirs))).flat()
    const texts = await Promise.all(dirs.map((dir) => readCgroupFile(`${dir}/cgroup.procs`)))
    const pids = texts.flatMap((text) => (text ?? '').split('\n').map(Number))
    // 0 stands for a process outside our pid namespace; as an argument of kill it would be our own process group.
    return [...new Set(pids.filter((pid) => pid > 0))].sort((a, b) => a - b)
  }

  async reset(): Promise<boolean> {
    try {
      if (this.dirs.length === 0 || !(await this.isBare())) return false
      if (!(await this.resetState([...this.#applied.values()]))) return false
      this.#baseline = await this.readCounters()
      this.#applied.clear()
      return true
    } catch {
      // Whatever is wrong with it, a new one is the way out.
      return false
    }
  }

  async remove(): Promise<void> {
    const results = await Promise.allSettled(this.dirs.map(removeCgroupDir))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  /** No process in it, and no cgroup inside. Processes join and leave all hierarchies together, so one of them tells. */
  protected async isBare(): Promise<boolean> {
    const [text, ...stats] = await Promise.all([
      readCgroupFile(`${this.unifiedDir ?? this.dirs[0]}/cgroup.procs`),
      ...this.dirs.map((dir) => stat(dir)),
    ])
    // cgroupfs counts directories as links: '.' and the entry above, and one '..' for each cgroup inside.
    return text === '' && stats.every(({ nlink }) => nlink <= 2)
  }

  /** Directory that has the files of a controller. */
  protected abstract dirOf(controller: string): string | undefined
  abstract usage(): Promise<CgroupUsage>
  protected abstract readStats(): Promise<CgroupStats>
  protected abstract readCounters(): Promise<CgroupCounters>
  protected abstract setFrozen(frozen: boolean): Promise<void>
  /** Undoes `applied` and clears what the kernel lets us clear. */
  protected abstract resetState(applied: readonly CgroupWrite[]): Promise<boolean>
}

/** Waits until `done` says so, with growing pauses. */
export async function waitUntil(what: string, done: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + kEndTimeoutMs
  for (let round = 0; !(await done()); round++) {
    if (performance.now() > deadline) throw new TimeoutError(what, kEndTimeoutMs)
    await delay(Math.min(2 ** round, 50))
  }
}

/** Reads `key value` lines. */
export function parseFlatKeyed(text: string | undefined): Map<string, number> {
  const pairs = (text ?? '').split('\n').map((line) => line.split(' '))
  return new Map(pairs.filter(({ length }) => length === 2).map(([key, value]) => [key ?? '', Number(value)]))
}

/** Reads a single number, `null` when the file is not there. */
export async function readNumber(path: string | undefined): Promise<number | null> {
  const text = path === undefined ? undefined : await readCgroupFile(path)
  return text === undefined ? null : Number(text)
}

/** The cgroup of a container on a host that lets us make none. */
export class EmptyCgroup extends CgroupBase {
  readonly selfAttachPaths: readonly string[] = []
  readonly freezerPath = undefined

  constructor(name: string) {
    super(name, [], undefined)
  }

  protected dirOf(): undefined {
    return undefined
  }

  async usage(): Promise<CgroupUsage> {
    const memory = { memoryBytes: null, inactiveFileBytes: null, memoryLimitBytes: null }
    return { cpuMicros: null, ...memory, pids: null, pidsLimit: null, readBytes: null, writtenBytes: null }
  }

  protected async readStats(): Promise<CgroupStats> {
    return { memoryBytes: null, memoryPeakBytes: null, pids: null, ...(await this.readCounters()) }
  }

  protected async readCounters(): Promise<CgroupCounters> {
    return { cpuMicros: null, userMicros: null, systemMicros: null, oomKills: null }
  }

  protected async setFrozen(): Promise<void> {
    throw new UnsupportedHostError('pausing containers', 'this process may make no cgroup', kDelegationHint)
  }

  protected async resetState(): Promise<boolean> {
    return false
  }
}

/** What to do where cgroups belong to somebody else. */
export const kDelegationHint =
  'run under a delegated cgroup: systemd-run --user --scope -p Delegate=yes node …, ' +
  "or say limits: 'best-effort' to go without."

function deviceOf({ file, value }: CgroupWrite): string {
  return /_device$|^io\.max$/.test(file) ? (value.split(' ')[0] ?? '') : ''
}

function applyHint(write: CgroupWrite, error: unknown): string | undefined {
  const code = codeOf(error)
  if (code === 'EBUSY' && write.controller === 'memory') return 'choose a limit above the memory that is in use.'
  if (code === 'ENOSPC' && write.controller === 'cpuset') return 'leave at least one CPU and one memory node.'
  if (code === 'EACCES' && write.controller === 'cpuset') return 'choose from the CPUs of this process (nproc --all).'
  if (code === 'EACCES' || code === 'EPERM') return kDelegationHint
  if (code === 'ENODEV' && write.controller !== 'memory') return 'name a device that exists (lsblk shows major:minor).'
  return undefined
}
