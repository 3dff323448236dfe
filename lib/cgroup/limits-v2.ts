// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import type { RuntimeCpu, RuntimeMemory } from '../oci/runtime-spec.ts'
import { cpuWeightOf, ioWeightOf, kCpuPeriodMicros, swapMaxOf } from './convert.ts'
import type { BlkioResources, BlkioThrottle, CgroupResources, LimitSink } from './limits.ts'

/** Puts the writes that carry out `resources` on v2. Device rules need a BPF program there, so they are none of these. */
export function writesV2(resources: CgroupResources, sink: LimitSink): void {
  if (resources.memory !== undefined) putMemory(resources.memory, sink)
  if (resources.cpu !== undefined) putCpu(resources.cpu, sink)
  if (resources.pids !== undefined) {
    const value = resources.pids.limit > 0 ? String(resources.pids.limit) : 'max'
    sink.put('pids', { controller: 'pids', file: 'pids.max', value })
  }
  if (resources.blockIO !== undefined) putBlkio(resources.blockIO, sink)
  for (const [file, value] of Object.entries(resources.unified ?? {})) {
    // The key becomes a file name, so it must not be able to leave the directory or touch the cgroup's own files.
    const controller = /^([a-z]+)\.[a-z0-9_.]+$/i.exec(file)?.[1]
    if (controller === undefined || controller === 'cgroup') {
      throw new InvalidOptionError('unified', 'names of files such as memory.high', file)
    }
    sink.put(file, { controller, file, value })
  }
}

function putMemory(memory: RuntimeMemory, sink: LimitSink): void {
  const put = (limit: string, file: string, value: string | undefined) => {
    if (value !== undefined) sink.put(limit, { controller: 'memory', file, value })
  }
  const swapMax = swapMaxOf(memory.limit, memory.swap)
  const accounted = sink.has('memory', 'memory.swap.max') || !sink.has('memory', 'memory.max')
  // No limit at all needs no swap accounting.
  put('memorySwap', 'memory.swap.max', swapMax === 'max' && !accounted ? undefined : swapMax)
  put('memory', 'memory.max', bytesOrMax(memory.limit))
  // A reservation is what v2 protects from reclaim while others use more than theirs.
  put('memoryReservation', 'memory.low', bytesOrMax(memory.reservation))
}

function bytesOrMax(bytes: number | undefined): string | undefined {
  if (bytes === undefined || bytes === 0) return undefined
  return bytes < 0 ? 'max' : String(bytes)
}

function putCpu(cpu: RuntimeCpu, sink: LimitSink): void {
  if (cpu.shares !== undefined && cpu.shares !== 0) {
    sink.put('cpuShares', { controller: 'cpu', file: 'cpu.weight', value: String(cpuWeightOf(cpu.shares)) })
  }
  if (cpu.quota !== undefined || cpu.period !== undefined) {
    const quota = cpu.quota !== undefined && cpu.quota > 0 ? String(cpu.quota) : 'max'
    const value = `${quota} ${cpu.period || kCpuPeriodMicros}`
    sink.put('cpus', { controller: 'cpu', file: 'cpu.max', value })
  }
  if (cpu.cpus) sink.put('cpuset', { controller: 'cpuset', file: 'cpuset.cpus', value: cpu.cpus })
  if (cpu.mems) sink.put('cpuset', { controller: 'cpuset', file: 'cpuset.mems', value: cpu.mems })
}

function putBlkio(blkio: BlkioResources, sink: LimitSink): void {
  if (blkio.weight !== undefined && blkio.weight !== 0) {
    // BFQ's file takes the standard's own range; io.weight (of the iocost controller) has another.
    const bfq = sink.has('io', 'io.bfq.weight')
    const value = String(bfq ? blkio.weight : ioWeightOf(blkio.weight))
    sink.put('blkioWeight', { controller: 'io', file: bfq ? 'io.bfq.weight' : 'io.weight', value: `default ${value}` })
  }
  const throttle = (key: string, rules: readonly BlkioThrottle[] | undefined) => {
    for (const { major, minor, rate } of rules ?? []) {
      const value = `${major}:${minor} ${key}=${rate === 0 ? 'max' : rate}`
      sink.put('blkio', { controller: 'io', file: 'io.max', value })
    }
  }
  throttle('rbps', blkio.throttleReadBpsDevice)
  throttle('wbps', blkio.throttleWriteBpsDevice)
  throttle('riops', blkio.throttleReadIOPSDevice)
  throttle('wiops', blkio.throttleWriteIOPSDevice)
}
