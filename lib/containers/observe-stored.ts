// SPDX-License-Identifier: MIT
import { readFile, readlink } from 'node:fs/promises'
import { totalmem } from 'node:os'
import type { Cgroup } from '../cgroup/driver.ts'
import { ContainerStateError, UnsupportedHostError } from '../errors.ts'
import { hostProcesses } from '../host/process-table.ts'
import { parsePasswd } from '../rootfs/users.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { isErrno } from '../store/atomic.ts'
import { pause } from '../store/lock.ts'
import type { ContainerStore } from './container-store.ts'
import { isLive } from './end-stored.ts'
import { type ContainerProcessList, processList } from './process-list.ts'
import { type ContainerStats, parseHostCpu, parseNetworkUse, type StatsSample, statsOf } from './stats.ts'

const kLive = ['running', 'paused'] as const

interface Live {
  readonly pid: number
  readonly cgroup: Cgroup
}

/** @throws {ContainerStateError} when it does not run. @throws {NotFoundError} @throws {UnsupportedHostError} without cgroups */
async function liveOf(
  containers: ContainerStore,
  runtime: Runtime,
  id: string,
  operation: 'top' | 'stats',
): Promise<Live> {
  const stored = await containers.read(id)
  const { pid, name, status } = stored.state
  if (!isLive(stored) || pid === null) throw new ContainerStateError(`container ${name}`, status, operation, kLive)
  const cgroup = await runtime.host.driver.open(id)
  if (cgroup !== undefined) return { pid, cgroup }
  // It may have ended this very moment.
  const again = await containers.read(id)
  if (!isLive(again)) throw new ContainerStateError(`container ${name}`, again.state.status, operation, kLive)
  throw new UnsupportedHostError(
    'looking at containers',
    `container ${name} has no cgroup`,
    'mount the cgroup file systems',
  )
}

/** Lists the processes of a container. @throws what {@link liveOf} throws */
export async function processesOf(
  containers: ContainerStore,
  runtime: Runtime,
  id: string,
): Promise<ContainerProcessList> {
  const { cgroup } = await liveOf(containers, runtime, id, 'top')
  const processes = await hostProcesses(await cgroup.processes())
  const users = parsePasswd(await readFile('/etc/passwd').catch(() => Buffer.alloc(0)))
  return processList(processes, new Map(users.map(({ uid, name }) => [uid, name])), Date.now())
}

/** @param overMs - time over which the use of processors is measured; 0: not at all */
export async function statsOnce(
  containers: ContainerStore,
  runtime: Runtime,
  id: string,
  { overMs, signal }: { overMs: number; signal: AbortSignal | undefined },
): Promise<ContainerStats> {
  const before = await sample(await liveOf(containers, runtime, id, 'stats'))
  if (overMs === 0) return statsOf(undefined, before)
  await pause(overMs, signal)
  return statsOf(before, await sample(await liveOf(containers, runtime, id, 'stats')))
}

/** A sample at once and then one each time, until the container does not run any more. */
export async function* statsStream(
  containers: ContainerStore,
  runtime: Runtime,
  id: string,
  { everyMs, signal }: { everyMs: number; signal: AbortSignal | undefined },
): AsyncGenerator<ContainerStats> {
  let before: StatsSample | undefined
  for (;;) {
    const now = await nextSample(containers, runtime, id, before === undefined)
    if (now === undefined) return
    yield statsOf(before, now)
    before = now
    await pause(everyMs, signal)
  }
}

async function nextSample(
  containers: ContainerStore,
  runtime: Runtime,
  id: string,
  mustRun: boolean,
): Promise<StatsSample | undefined> {
  try {
    return await sample(await liveOf(containers, runtime, id, 'stats'))
  } catch (error) {
    if (mustRun) throw error
    const stored = await containers.read(id).catch(() => undefined)
    if (stored === undefined || !isLive(stored)) return undefined
    throw error
  }
}

async function sample({ pid, cgroup }: Live): Promise<StatsSample> {
  const [usage, stat, network] = await Promise.all([cgroup.usage(), readFile('/proc/stat', 'latin1'), networkOf(pid)])
  return { atMs: Date.now(), usage, host: parseHostCpu(stat), hostMemoryBytes: totalmem(), network }
}

async function networkOf(pid: number): Promise<ContainerStats['network']> {
  try {
    const [own, theirs] = await Promise.all([readlink('/proc/self/ns/net'), readlink(`/proc/${pid}/ns/net`)])
    return own === theirs ? null : parseNetworkUse(await readFile(`/proc/${pid}/net/dev`, 'latin1'))
  } catch (error) {
    // Ended meanwhile, which the next look at its state tells; or not ours to look at.
    if (isErrno(error, 'ENOENT', 'ESRCH', 'EINVAL', 'EACCES')) return null
    throw error
  }
}
