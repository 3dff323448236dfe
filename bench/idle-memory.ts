// SPDX-License-Identifier: MIT
import { mkdir, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Container } from '../lib/index.ts'
import { readIfThere } from './files.ts'
import { makeFixtures } from './fixtures.ts'
import type { IdleMemoryResult, IdleMemoryRow, Job } from './job.ts'
import { descendantPids } from './leftovers.ts'
import { cgroupNameOf, type SubjectContext } from './subject.ts'
import { noteAbsence } from './subject-pool.ts'
import { DockerdSubject } from './subjects/dockerd.ts'
import { PodmanSubject } from './subjects/podman.ts'
import { WherrySubject } from './subjects/wherry.ts'

type IdleMemoryJob = Job & { kind: 'idle-memory' }

/** Peers have a process for each container, so a few tell as much as many. */
const kPeerContainers = 3
const kWarmupContainers = 10
const kSettleMs = 500

/** P7: what containers that do nothing cost in memory, beside their own processes. */
export async function measureIdleMemory(job: IdleMemoryJob, signal: AbortSignal): Promise<IdleMemoryResult> {
  await mkdir(job.directory, { recursive: true })
  const fixtures = await makeFixtures(job.directory)
  const context = async (name: string): Promise<SubjectContext> => {
    const directory = join(job.directory, name)
    await mkdir(directory, { recursive: true })
    return { ...fixtures, directory, cgroupName: cgroupNameOf(process.pid, name), seccompSource: undefined }
  }
  const rows: IdleMemoryRow[] = []
  if (job.subjects.includes('wherry')) {
    const row: IdleMemoryRow = { name: 'wherry', containers: job.containers }
    rows.push(row)
    await noting(row, async () => measureOurs(row, new WherrySubject(await context('wherry'))))
  }
  for (const { subject, program, make } of kPeers.filter((peer) => job.subjects.includes(peer.subject))) {
    if (signal.aborted) break
    const row: IdleMemoryRow = { name: `${program} (${subject})`, containers: kPeerContainers }
    rows.push(row)
    await noting(row, async () => measurePeer(row, make(await context(subject)), program))
  }
  return { kind: 'idle-memory', rows }
}

interface Peer {
  prepare(): Promise<void>
  startIdle(): Promise<string>
  removeIdle(id: string): Promise<void>
  dispose(): Promise<void>
}

const kPeers: readonly { subject: string; program: string; make: (context: SubjectContext) => Peer }[] = [
  { subject: 'podman', program: 'conmon', make: (context) => new PodmanSubject(context) },
  { subject: 'dockerd', program: 'containerd-shim', make: (context) => new DockerdSubject(context) },
]

async function noting(row: IdleMemoryRow, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    noteAbsence(row, error)
  }
}

/** This process and its helpers grow; containers' own processes are in other pid namespaces. */
async function measureOurs(row: IdleMemoryRow, subject: WherrySubject): Promise<void> {
  const containers: Container[] = []
  try {
    await subject.prepare()
    for (let count = 0; count < kWarmupContainers; count++) containers.push(await subject.startIdle())
    const before = await ownBytes()
    for (let count = 0; count < row.containers; count++) containers.push(await subject.startIdle())
    row.bytesPerContainer = ((await ownBytes()) - before) / row.containers
  } finally {
    for (const container of containers) await container.remove({ force: true })
    await subject.dispose()
  }
}

async function ownBytes(): Promise<number> {
  await delay(kSettleMs)
  for (let count = 0; count < 2; count++) {
    globalThis.gc?.()
    await delay(10)
  }
  const own = await readlink('/proc/self/ns/pid')
  const sizes = [process.pid, ...(await descendantPids())].map(async (pid) => {
    const namespace = await readlink(`/proc/${pid}/ns/pid`).catch(() => undefined)
    return namespace === own ? await sharedOutBytes(pid) : 0
  })
  return totalOf(await Promise.all(sizes), 'this process')
}

async function measurePeer(row: IdleMemoryRow, peer: Peer, program: string): Promise<void> {
  const ids: string[] = []
  try {
    await peer.prepare()
    for (let count = 0; count < row.containers; count++) ids.push(await peer.startIdle())
    await delay(kSettleMs)
    const pids = await programsFor(program, ids)
    if (pids.length === 0) throw new Error(`no process of ${program} was found`)
    row.bytesPerContainer = totalOf(await Promise.all(pids.map(sharedOutBytes)), program) / row.containers
  } finally {
    for (const id of ids) await peer.removeIdle(id)
    await peer.dispose()
  }
}

/** Processes of a program that were started for one of the containers. */
async function programsFor(program: string, ids: readonly string[]): Promise<number[]> {
  const found: number[] = []
  for (const pid of (await readdir('/proc')).map(Number).filter(Number.isInteger)) {
    const line = (await readIfThere(`/proc/${pid}/cmdline`)) ?? ''
    const [name = ''] = line.split('\0')
    if (name.includes(program) && ids.some((id) => line.includes(id))) found.push(pid)
  }
  return found
}

/** Nothing takes no memory: then the kernel did not tell. @throws {Error} */
function totalOf(sizes: readonly number[], what: string): number {
  const total = sizes.reduce((sum, size) => sum + size, 0)
  if (total === 0) throw new Error(`the kernel tells no proportional set size (smaps_rollup) of ${what}`)
  return total
}

/** Proportional set size: what several processes share counts once. @source proc_pid_smaps_rollup, kernel documentation */
async function sharedOutBytes(pid: number): Promise<number> {
  const text = (await readIfThere(`/proc/${pid}/smaps_rollup`)) ?? ''
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024
}
