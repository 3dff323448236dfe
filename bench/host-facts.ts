// SPDX-License-Identifier: MIT
import { execFile } from 'node:child_process'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { promisify } from 'node:util'
import { cgroupMounts, readIfThere } from './files.ts'

/** What a reader needs to judge the figures; nothing in it names the machine. */
export interface HostFacts {
  kernel: string
  cpuModel: string
  cpuCount: number
  memoryBytes: number
  nodeVersion: string
  root: boolean
  cgroups: 'v1' | 'v2' | 'hybrid' | 'none'
  transparentHugePages: string
  peerVersions: Record<string, string>
}

/** Collects the facts of this host. */
export async function collectHostFacts(): Promise<HostFacts> {
  const versions = new Set((await cgroupMounts()).map((mount) => mount.version))
  const thp = (await readIfThere('/sys/kernel/mm/transparent_hugepage/enabled')) ?? ''
  return {
    kernel: release(),
    cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
    cpuCount: availableParallelism(),
    memoryBytes: totalmem(),
    nodeVersion: process.version,
    root: process.getuid?.() === 0,
    cgroups: versions.size === 2 ? 'hybrid' : versions.has(2) ? 'v2' : versions.has(1) ? 'v1' : 'none',
    transparentHugePages: /\[(\w+)\]/.exec(thp)?.[1] ?? 'unknown',
    peerVersions: await collectPeerVersions(),
  }
}

async function collectPeerVersions(): Promise<Record<string, string>> {
  const versions: Record<string, string> = {}
  for (const name of ['bwrap', 'crun', 'runc', 'podman', 'dockerd']) {
    const answer = await promisify(execFile)(name, ['--version']).catch(() => undefined)
    if (answer !== undefined) versions[name] = answer.stdout.trim().split('\n')[0] ?? ''
  }
  return versions
}

/**
 * Reads how long all processors of the machine have been busy since it started, other people's work included.
 * @returns milliseconds, in steps of the kernel's clock tick
 * @source proc_stat(5)
 */
export async function machineBusyMs(): Promise<number> {
  const kTicksPerSecond = 100
  const fields = (await readIfThere('/proc/stat'))?.split('\n')[0]?.trim().split(/\s+/).slice(1).map(Number) ?? []
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = fields
  return ((user + nice + system + irq + softIrq) * 1_000) / kTicksPerSecond
}
