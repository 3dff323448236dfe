// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** What a test file could leave behind on the host, as sets of lines that a person can read. */
export interface Belongings {
  mounts: string[]
  cgroups: string[]
  children: string[]
  /** Processes in another pid namespace than this one: containers, but for those that somebody else on the host looks after. */
  contained: string[]
  descriptors: string[]
  files: string[]
}

/** Less than the ten seconds after which prepared children end by themselves: one that nobody ended is to be seen. */
const SETTLE_MS = 8_000
const POLL_MS = 20

/**
 * Compares the host before the test file with the host when its process ends, and fails the file where something is
 * new: mounts, cgroups named wherry*, child processes, containers, descriptors, entries of `dirs`.
 * Call it first thing in the file. Engines and servers must be closed by the file's own hooks.
 */
export function checkLeftovers(dirs: readonly string[] = []): void {
  const before = takeStock(dirs)
  // By 'exit' all hooks have run, in whatever order the file registered them.
  process.on('exit', () => {
    let left = compare(before, takeStock(dirs))
    const deadline = Date.now() + SETTLE_MS
    while (left.length > 0 && Date.now() < deadline) {
      pauseSync(POLL_MS)
      left = compare(before, takeStock(dirs))
    }
    if (left.length === 0) return
    console.error(`this test file leaves behind:\n  ${left.join('\n  ')}`)
    process.exitCode = 1
  })
}

/**
 * Runs `action` and rejects when it leaves something behind. For leaks inside a file, such as one descriptor a run.
 * Waits some seconds for the kernel to finish.
 */
export async function leavesNothing(action: () => Promise<void>, dirs: readonly string[] = []): Promise<void> {
  const before = takeStock(dirs)
  await action()
  const deadline = Date.now() + SETTLE_MS
  let left = compare(before, takeStock(dirs))
  while (left.length > 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    left = compare(before, takeStock(dirs))
  }
  assert.deepEqual(left, [], 'left behind')
}

/** Everything that counts, now. */
export function takeStock(dirs: readonly string[] = []): Belongings {
  return {
    mounts: readLines('/proc/self/mountinfo'),
    cgroups: cgroupRoots().flatMap((root) => wherryGroups(root)),
    children: children(),
    contained: contained(),
    descriptors: descriptors(),
    files: dirs.flatMap((dir) => list(dir).map((name) => join(dir, name))),
  }
}

/** What is in `after` and was not in `before`, each as `kind: thing`. */
export function compare(before: Belongings, after: Belongings): string[] {
  return (Object.keys(after) as (keyof Belongings)[]).flatMap((kind) => {
    const remaining = [...before[kind]]
    return after[kind].flatMap((thing) => {
      const index = remaining.indexOf(thing)
      if (index < 0) return [`${kind}: ${thing}`]
      remaining.splice(index, 1)
      return []
    })
  })
}

function cgroupRoots(): string[] {
  return readLines('/proc/self/mountinfo')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4] ?? '')
}

/** Directories named wherry*, at the first levels: below the root, a slice, or this process's own group. */
function wherryGroups(dir: string, depth = 0): string[] {
  return list(dir, true).flatMap((name) => {
    const path = join(dir, name)
    const own = name.startsWith('wherry') ? [path] : []
    return depth < 4 ? [...own, ...wherryGroups(path, depth + 1)] : own
  })
}

function children(): string[] {
  return list('/proc/self/task').flatMap((task) => {
    const pids = readLines(`/proc/self/task/${task}/children`).join(' ').split(' ').filter(Boolean)
    return pids.map((pid) => `${pid} ${commandOf(pid)}`)
  })
}

function contained(): string[] {
  const own = readLink('/proc/self/ns/pid')
  return list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const namespace = readLink(`/proc/${pid}/ns/pid`)
      return namespace !== undefined && namespace !== own && !isOfOthers(pid, own)
    })
    .map((pid) => `${pid} ${commandOf(pid)}`)
}

/**
 * Whether a container belongs to somebody else who is there: to another engine such as Docker, or to a launcher whose program
 * lives and was not started here. What has lost its owner may be ours.
 */
function isOfOthers(pid: string, ownNamespace: string | undefined): boolean {
  const parents: string[] = []
  for (let at = parentOf(pid); at !== undefined && at !== '0' && !parents.includes(at); at = parentOf(at))
    parents.push(at)
  if (parents.includes(String(process.pid))) return false
  const outside = parents.filter((parent) => readLink(`/proc/${parent}/ns/pid`) === ownNamespace)
  const [keeper = '1', owner = '1'] = outside
  if (keeper === '1') return false
  if (!commandOf(keeper).startsWith('wherry')) return true
  const isAttendant = (readLines(`/proc/${owner}/cmdline`)[0] ?? '').includes('attendant-process')
  return commandOf(owner) === commandOf(String(process.pid)) && !isAttendant
}

function parentOf(pid: string): string | undefined {
  return readLines(`/proc/${pid}/stat`)[0]
    ?.replace(/^.*\) /, '')
    .split(' ')[1]
}

function commandOf(pid: string): string {
  return readLines(`/proc/${pid}/comm`)[0] ?? '(gone)'
}

/** Targets of the open descriptors. Node's own come and go with the event loop and carry no name worth a comparison. */
function descriptors(): string[] {
  return list('/proc/self/fd')
    .map((fd) => readLink(`/proc/self/fd/${fd}`) ?? '')
    .filter((target) => target !== '' && !/^\/proc\/\d+\/fd$/.test(target))
    .filter(
      (target) =>
        !/^anon_inode:(\[(eventpoll|eventfd|io_uring|timerfd)\]|inotify)$|^\/dev\/(null|urandom)$/.test(target),
    )
    .map((target) => target.replace(/:\[\d+\]$/, ''))
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean)
  } catch {
    return []
  }
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

function list(dir: string, directoriesOnly = false): string[] {
  try {
    const entries = readdirSync(dir, { withFileTypes: true })
    return entries.filter((entry) => !directoriesOnly || entry.isDirectory()).map((entry) => entry.name)
  } catch {
    return []
  }
}

function pauseSync(durationMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, durationMs)
}
