// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { cgroupMounts, removeCgroups } from './files.ts'
import type { Job, JobResult } from './job.ts'
import { cgroupNameOf } from './subject.ts'
import { kCatalogue } from './subjects/catalogue.ts'

/** All of it goes with the namespace, however the process ends. */
const kEnter = `
if [ -n "$0" ]; then umount "$0"; fi
if [ -n "$1" ]; then mount -o loop "$1" "$2"; fi
shift 2
exec "$@"`

/**
 * V8 lets the space for young objects grow to 32 MB in any process that goes on making objects, whatever becomes of them: of a
 * growth of a few megabytes nothing could be said.
 */
const kSmallYoungSpace = '--max-semi-space-size=1'
/** Jobs that ask how much a process has grown. */
const kGrowth: readonly Job['kind'][] = ['endurance', 'idle-memory']

/** What a job's process is started with. */
export interface RunJobOptions {
  /** Hides this mount point in a mount namespace of the job's own. */
  hideMount: string | undefined
  /** A file system to mount at `mountPoint` there. */
  image: string | undefined
  mountPoint: string
  signal: AbortSignal
}

/**
 * Runs a job in a process of its own, which ends before this resolves.
 * @throws {Error} when the process ends otherwise than with exit code 0
 */
export async function runJob(job: Job, options: RunJobOptions): Promise<JobResult> {
  const { hideMount, image, mountPoint, signal } = options
  const worker = fileURLToPath(new URL('./worker.js', import.meta.url))
  const flags = kGrowth.includes(job.kind) ? ['--expose-gc', kSmallYoungSpace] : ['--expose-gc']
  const node = [process.execPath, ...flags, worker, JSON.stringify(job)]
  const inNamespace = ['unshare', '--mount', 'sh', '-ec', kEnter, hideMount ?? '', image ?? '', mountPoint, ...node]
  const [file = '', ...args] = hideMount === undefined && image === undefined ? node : inNamespace
  const child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  const stop = () => child.kill('SIGTERM')
  signal.addEventListener('abort', stop, { once: true })
  try {
    const [exitCode, killSignal] = (await once(child, 'exit')) as [number | null, string | null]
    if (exitCode !== 0) throw new Error(`the measuring process ended with ${killSignal ?? `exit code ${exitCode}`}`)
  } finally {
    signal.removeEventListener('abort', stop)
    // For one that was killed: otherwise they are gone already.
    for (const name of kCatalogue.keys()) await removeCgroups(cgroupNameOf(child.pid, name))
  }
  return JSON.parse(await readFile(job.resultFile, 'utf8')) as JobResult
}

/**
 * Chooses the mount to hide so that crun and dockerd, which refuse a host with v1 and v2, can run beside the others.
 * @returns undefined where there is nothing to hide, or no right to hide it
 */
export async function mountToHide(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const mounts = await cgroupMounts()
  if (!mounts.some((mount) => mount.version === 1)) return undefined
  return mounts.find((mount) => mount.version === 2)?.path
}
