// SPDX-License-Identifier: MIT
// What the fault tests share: a state directory with an image in it, processes to be killed, and what is left of them.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import { missing } from '../helpers/needs.ts'
import { makeRootfsDir, packRootfs } from '../integration/rootfs.ts'

/** Makes a state directory with the image `fault` before the tests of a file, and removes it after them. @returns its path */
export function useFaultRoot(): string {
  const dir = mkdtempSync(join(tmpdir(), 'wherry-fault-'))
  const root = join(dir, 'root')
  before(async () => {
    await chmod(dir, 0o755)
    if (missing('root') !== undefined || missing('command:busybox') !== undefined) return
    const tar = packRootfs(await makeRootfsDir(join(dir, 'rootfs')), join(dir, 'rootfs.tar'))
    await using engine = await Engine.open({ root })
    await Image.import(tar, { engine, reference: 'fault' })
  })
  after(async () => {
    for (const child of running) child.kill('SIGKILL')
    await Promise.all([...running].map(ended))
    await rm(dir, { recursive: true, force: true })
  })
  return root
}

/** A running owner-process.ts. */
export interface Owner {
  child: ChildProcess
  marker: string
  /** What it said so far. */
  readonly output: string
  /** Its launcher and session, once it has told them. */
  readonly launcher: { pid: number; session: string } | undefined
}

let owners = 0
/** So that a test that fails leaves no process behind. */
const running = new Set<ChildProcess>()

/** Starts a process that owns containers. */
export function startOwner(root: string, mode: 'loop' | 'one' = 'loop'): Owner {
  const marker = `fault-marker-${process.pid}-${owners++}`
  const path = fileURLToPath(new URL('./owner-process.js', import.meta.url))
  const child = spawn(process.execPath, [path, root, marker, mode], { stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  return {
    child,
    marker,
    get output() {
      return output
    },
    get launcher() {
      const [, pid, session = ''] = /^owner (\d+) (\w+)$/m.exec(output) ?? []
      return pid === undefined ? undefined : { pid: Number(pid), session }
    },
  }
}

/** What {@link remainsOf} goes by. */
export type Remaining = Pick<Owner, 'marker' | 'launcher'> & { child: Pick<ChildProcess, 'pid'> }

/** Processes and cgroups of an owner, as lines that a person can read; the owner itself is not among them. */
export function remainsOf({ marker, launcher, child }: Remaining): string[] {
  const processes = readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name) || Number(name) === child.pid) return false
    if (read(`/proc/${name}/cmdline`).includes(marker)) return true
    if (launcher === undefined) return false
    // The janitor is in the launcher's session; what was cloned for a container is in a cgroup with the session's name.
    const [stateLetter, , , sessionId] = read(`/proc/${name}/stat`)
      .replace(/^.*\) /, '')
      .split(' ')
    // A zombie is nothing but an exit code that the host's init has yet to collect.
    if (stateLetter === 'Z') return false
    if (Number(name) === launcher.pid || Number(sessionId) === launcher.pid) return true
    return read(`/proc/${name}/cgroup`).includes(`/wherry/${launcher.session}-`)
  })
  const described = processes.map((pid) => `${pid} ${read(`/proc/${pid}/comm`).trim()} ${state(pid)}`)
  return [...described, ...(launcher === undefined ? [] : cgroupsOf(launcher.session))]
}

/** Cgroup directories of a session. */
export function cgroupsOf(session: string): string[] {
  const roots = read('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => join(line.split(' ')[4] ?? '', 'wherry'))
  return [...new Set(roots)].flatMap((root) => {
    try {
      return readdirSync(root)
        .filter((name) => name.startsWith(`${session}-`))
        .map((name) => join(root, name))
    } catch {
      return []
    }
  })
}

/** Asserts that a new engine on the root puts everything right: no session stays, and nothing half done. */
export async function assertRepaired(root: string): Promise<void> {
  const engine = await Engine.open({ root })
  await engine.close()
  await assertClean(root)
}

/** Asserts that no session (or not the one named) and nothing half done is in a state directory. */
export async function assertClean(root: string, session = ''): Promise<void> {
  const remaining = (await Promise.all(['sessions', 'tmp'].map((name) => readdir(join(root, name))))).flat()
  const names = remaining.filter((name) => name.startsWith(session))
  assert.deepEqual(names, [], 'in sessions/ and tmp/')
}

/** Waits for a child process to be gone. */
export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  await new Promise((resolve) => child.once('exit', resolve))
}

export function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function state(pid: string): string {
  return /^State:\s*(.*)$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? ''
}

export function childrenOf(pid: number): number[] {
  return read(`/proc/${pid}/task/${pid}/children`).trim().split(' ').map(Number)
}

export function janitorOf(launcher: number): number {
  const pid = childrenOf(launcher).find((child) => read(`/proc/${child}/comm`) === 'wherry-janitor\n')
  assert.ok(pid !== undefined, 'there is a janitor')
  return pid
}
