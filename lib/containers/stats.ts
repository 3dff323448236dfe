// SPDX-License-Identifier: MIT
import type { CgroupUsage } from '../cgroup/usage.ts'

/** What a running container uses, as `docker stats` counts. `null` where this host does not tell. */
export interface ContainerStats {
  /** ISO 8601. */
  readonly readAt: string
  readonly cpu: {
    /** Since its start. */
    readonly usageMicros: number | null
    /** Since the sample before: 100 is one processor, all of the time. */
    readonly percent: number | null
    readonly onlineCpus: number
  }
  readonly memory: {
    /** Without what merely holds copies of files that nobody has used lately. */
    readonly usageBytes: number | null
    /** Its limit, or all memory of the host. */
    readonly limitBytes: number
    /** Of the limit. */
    readonly percent: number | null
  }
  readonly pids: { readonly current: number | null; readonly limit: number | null }
  /** From and to block devices. */
  readonly io: { readonly readBytes: number | null; readonly writtenBytes: number | null }
  /** All interfaces but the loopback; `null` for the network of the host. */
  readonly network: { readonly receivedBytes: number; readonly sentBytes: number } | null
}

/** One look at a container and its host. */
export interface StatsSample {
  readonly atMs: number
  readonly usage: CgroupUsage
  /** What all processors of the host have counted, idle or not. */
  readonly host: HostCpu
  readonly hostMemoryBytes: number
  readonly network: ContainerStats['network']
}

export interface HostCpu {
  readonly systemMicros: number
  readonly onlineCpus: number
}

const kMicrosPerTick = 10_000
/** Docker adds up user, nice, system, idle, iowait, irq and softirq. */
const kCpuFields = 7

/** Docker's arithmetic. Pure. @param before - an earlier sample; without one there is no CPU percentage */
export function statsOf(before: StatsSample | undefined, now: StatsSample): ContainerStats {
  const { usage, host, hostMemoryBytes, network } = now
  const { memoryBytes, inactiveFileBytes, memoryLimitBytes, pids, pidsLimit, readBytes, writtenBytes } = usage
  const inactive = inactiveFileBytes ?? 0
  const usageBytes = memoryBytes === null || inactive >= memoryBytes ? memoryBytes : memoryBytes - inactive
  const limitBytes = Math.min(memoryLimitBytes ?? hostMemoryBytes, hostMemoryBytes)
  return {
    readAt: new Date(now.atMs).toISOString(),
    cpu: { usageMicros: usage.cpuMicros, percent: cpuPercent(before, now), onlineCpus: host.onlineCpus },
    memory: { usageBytes, limitBytes, percent: usageBytes === null ? null : (usageBytes / limitBytes) * 100 },
    pids: { current: pids, limit: pidsLimit },
    io: { readBytes, writtenBytes },
    network,
  }
}

function cpuPercent(before: StatsSample | undefined, now: StatsSample): number | null {
  const from = before?.usage.cpuMicros ?? null
  const to = now.usage.cpuMicros
  if (before === undefined || from === null || to === null) return null
  const system = now.host.systemMicros - before.host.systemMicros
  return system <= 0 || to <= from ? 0 : ((to - from) / system) * now.host.onlineCpus * 100
}

/** Reads /proc/stat. @source man 5 proc */
export function parseHostCpu(text: string): HostCpu {
  const fields = (/^cpu +(.*)$/m.exec(text)?.[1] ?? '').split(' ').map(Number)
  const ticks = fields.slice(0, kCpuFields).reduce((all, each) => all + each, 0)
  return { systemMicros: ticks * kMicrosPerTick, onlineCpus: text.match(/^cpu\d/gm)?.length ?? 1 }
}

/** Reads `/proc/<pid>/net/dev`: a line for each interface behind two of headings. @source man 5 proc */
export function parseNetworkUse(text: string): { receivedBytes: number; sentBytes: number } {
  const rows = text
    .split('\n')
    .slice(2)
    .flatMap((line) => {
      const [, name = '', rest = ''] = /^ *([^ ]+): *(.*)$/.exec(line) ?? []
      return name === '' || name === 'lo' ? [] : [rest.split(/ +/).map(Number)]
    })
  const sum = (field: number): number => rows.reduce((all, row) => all + (row[field] ?? 0), 0)
  return { receivedBytes: sum(0), sentBytes: sum(8) }
}
