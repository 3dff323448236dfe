// SPDX-License-Identifier: MIT
import { UnsupportedHostError } from '../errors.ts'
import type { RuntimeCpu, RuntimeDeviceRule, RuntimeMemory } from '../oci/runtime-spec.ts'
import { swapMaxOf } from './convert.ts'
import type { BlkioResources, BlkioThrottle, CgroupResources, CgroupWrite, CurrentLimits, LimitSink } from './limits.ts'

/** CPUs and memory nodes of a cpuset, as its files say; a newly made v1 cpuset has both empty. */
export interface Cpuset {
  cpus: string
  mems: string
}

/** Puts the writes that carry out `resources` on v1. */
export function writesV1(resources: CgroupResources, sink: LimitSink, current: CurrentLimits): void {
  for (const rule of resources.devices ?? []) putDevice(rule, sink)
  if (resources.memory !== undefined) putMemory(resources.memory, sink, current)
  if (resources.cpu !== undefined) putCpu(resources.cpu, sink)
  if (resources.pids !== undefined) {
    const value = resources.pids.limit > 0 ? String(resources.pids.limit) : 'max'
    sink.put('pids', { controller: 'pids', file: 'pids.max', value })
  }
  if (resources.blockIO !== undefined) putBlkio(resources.blockIO, sink)
  const [key] = Object.keys(resources.unified ?? {})
  if (key !== undefined) {
    throw new UnsupportedHostError(`the resource '${key}'`, 'the controllers of this host are on cgroup v1')
  }
}

/**
 * The writes that fill an empty v1 cpuset from its parent: without CPUs and memory nodes no process can join it.
 *
 * @source https://docs.kernel.org/admin-guide/cgroup-v1/cpusets.html
 */
export function inheritCpuset(own: Cpuset, parent: Cpuset): CgroupWrite[] {
  const writes: CgroupWrite[] = []
  if (own.cpus.trim() === '') writes.push({ controller: 'cpuset', file: 'cpuset.cpus', value: parent.cpus.trim() })
  if (own.mems.trim() === '') writes.push({ controller: 'cpuset', file: 'cpuset.mems', value: parent.mems.trim() })
  return writes
}

function putMemory(memory: RuntimeMemory, sink: LimitSink, current: CurrentLimits): void {
  const put = (limit: string, file: string, value: number | undefined) => {
    if (value !== undefined && value !== 0) sink.put(limit, { controller: 'memory', file, value: String(value) })
  }
  swapMaxOf(memory.limit, memory.swap)
  const memorySwap = memory.swap ?? (memory.limit === -1 ? -1 : undefined)
  // Memory plus swap may at no moment be below memory: raise the sum first, lower it last.
  if (raisesSum(memory.limit, current.memorySwapBytes)) {
    put('memorySwap', 'memory.memsw.limit_in_bytes', optionalSum(memorySwap, memory, sink))
    put('memory', 'memory.limit_in_bytes', memory.limit)
  } else {
    put('memory', 'memory.limit_in_bytes', memory.limit)
    put('memorySwap', 'memory.memsw.limit_in_bytes', optionalSum(memorySwap, memory, sink))
  }
  put('memoryReservation', 'memory.soft_limit_in_bytes', memory.reservation)
}

function raisesSum(limit: number | undefined, currentSum: number | undefined): boolean {
  return limit !== undefined && currentSum !== undefined && (limit === -1 || limit > currentSum)
}

/** No limit at all needs no swap accounting. */
function optionalSum(sum: number | undefined, memory: RuntimeMemory, sink: LimitSink): number | undefined {
  const accounted = sink.has('memory', 'memory.memsw.limit_in_bytes')
  return sum === -1 && !accounted && sink.has('memory', 'memory.limit_in_bytes')
    ? undefined
    : memory.swap === 0
      ? undefined
      : sum
}

function putCpu(cpu: RuntimeCpu, sink: LimitSink): void {
  const put = (limit: string, controller: string, file: string, value: number | string | undefined) => {
    if (value !== undefined && value !== '' && value !== 0) sink.put(limit, { controller, file, value: String(value) })
  }
  put('cpuShares', 'cpu', 'cpu.shares', cpu.shares)
  put('cpus', 'cpu', 'cpu.cfs_period_us', cpu.period)
  put('cpus', 'cpu', 'cpu.cfs_quota_us', cpu.quota)
  put('cpuset', 'cpuset', 'cpuset.cpus', cpu.cpus)
  put('cpuset', 'cpuset', 'cpuset.mems', cpu.mems)
}

function putDevice(rule: RuntimeDeviceRule, sink: LimitSink): void {
  const file = rule.allow ? 'devices.allow' : 'devices.deny'
  const number = (value: number | undefined) => (value === undefined || value < 0 ? '*' : String(value))
  const all = rule.type === undefined || rule.type === 'a'
  const value = all ? 'a' : `${rule.type} ${number(rule.major)}:${number(rule.minor)} ${rule.access ?? 'rwm'}`
  sink.put('devices', { controller: 'devices', file, value })
}

function putBlkio(blkio: BlkioResources, sink: LimitSink): void {
  if (blkio.weight !== undefined && blkio.weight !== 0) {
    // Only the BFQ scheduler has weights since Linux 5.0; kernels before that had CFQ's file.
    const file = sink.has('blkio', 'blkio.weight') ? 'blkio.weight' : 'blkio.bfq.weight'
    sink.put('blkioWeight', { controller: 'blkio', file, value: String(blkio.weight) })
  }
  const throttle = (name: string, rules: readonly BlkioThrottle[] | undefined) => {
    for (const { major, minor, rate } of rules ?? []) {
      sink.put('blkio', {
        controller: 'blkio',
        file: `blkio.throttle.${name}_device`,
        value: `${major}:${minor} ${rate}`,
      })
    }
  }
  throttle('read_bps', blkio.throttleReadBpsDevice)
  throttle('write_bps', blkio.throttleWriteBpsDevice)
  throttle('read_iops', blkio.throttleReadIOPSDevice)
  throttle('write_iops', blkio.throttleWriteIOPSDevice)
}
