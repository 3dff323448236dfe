// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { sharedDataPath } from './package-root.ts'

/** Something of the host that a test cannot do without. */
export type Capability =
  | 'root'
  | 'userns'
  | 'overlay'
  | 'cgroup'
  | 'cgroup-v1'
  | `command:${string}`
  /** A C header below /usr/include. */
  | `header:${string}`
  /** A file or folder of {@link sharedDataPath}. */
  | `data:${string}`

const answers = new Map<Capability, string | undefined>()

/**
 * Whether the host has `capability`. Where it has not, the test is marked skipped with the reason; with
 * WHERRY_MUST_WORK=1 it fails instead, so that continuous integration cannot pass by skipping.
 *
 * @example
 * test('mounts', (t) => {
 *   if (!needs(t, 'overlay')) return
 * })
 */
export function needs(t: TestContext, ...capabilities: Capability[]): boolean {
  for (const capability of capabilities) {
    const reason = missing(capability)
    if (reason === undefined) continue
    skipOrFail(t, `needs ${capability}: ${reason}`)
    return false
  }
  return true
}

/** Marks a test as skipped with a reason; with WHERRY_MUST_WORK=1 it fails instead. */
export function skipOrFail(t: TestContext, reason: string): void {
  if (process.env.WHERRY_MUST_WORK === '1') assert.fail(reason)
  t.skip(reason)
}

/** Why the host lacks `capability`, or undefined where it has it. Probed once per process. */
export function missing(capability: Capability): string | undefined {
  if (!answers.has(capability)) answers.set(capability, probe(capability))
  return answers.get(capability)
}

function probe(capability: Capability): string | undefined {
  switch (capability) {
    case 'root':
      return process.getuid?.() === 0 ? undefined : `the user id is ${process.getuid?.()}`
    case 'userns':
      return tryCommand('unshare', ['--user', '--map-root-user', 'true'])
    case 'overlay':
      return tryCommand('unshare', [...asRoot(), '--mount', 'sh', '-ec', OVERLAY_PROBE])
    case 'cgroup':
      return probeCgroup()
    case 'cgroup-v1': {
      const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
      return / - cgroup \S+ /.test(mounts) ? undefined : 'no cgroup v1 hierarchy is mounted'
    }
    default:
      return probeNamed(capability.slice(0, capability.indexOf(':')), capability.slice(capability.indexOf(':') + 1))
  }
}

function probeNamed(kind: string, name: string): string | undefined {
  if (kind === 'command') return probeCommand(name)
  const path = kind === 'header' ? join('/usr/include', name) : sharedDataPath(name)
  return existsSync(path) ? undefined : `${path} is not there`
}

const OVERLAY_PROBE = `
mount -t tmpfs tmpfs /tmp
mkdir /tmp/lower /tmp/upper /tmp/work /tmp/merged
mount -t overlay -o lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work overlay /tmp/merged`

function asRoot(): string[] {
  return process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
}

/** A cgroup in which memory can be limited: a v1 hierarchy, or a v2 group that hands the controller down. */
function probeCgroup(): string | undefined {
  const own = readFileSync('/proc/self/cgroup', 'utf8')
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  const v1 = mounts.find((line) => / - cgroup \S+ (\S+,)?memory(,|$)/.test(line))
  const v2 = mounts.find((line) => line.includes(' - cgroup2 '))
  const mountPoint = (v1 ?? v2)?.split(' ')[4]
  if (mountPoint === undefined) return 'no cgroup file system is mounted'
  if (v1 === undefined) {
    const path = /^0::(.*)$/m.exec(own)?.[1] ?? '/'
    const controllers = readIfAny(join(mountPoint, path, 'cgroup.controllers'))
    if (!controllers.includes('memory')) return `memory is not in cgroup.controllers of ${path} (${controllers.trim()})`
  }
  try {
    accessSync(mountPoint, constants.W_OK)
    return undefined
  } catch {
    return `${mountPoint} is not writable`
  }
}

function readIfAny(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function probeCommand(name: string): string | undefined {
  const path = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`
  for (const dir of path.split(':')) {
    try {
      accessSync(join(dir, name), constants.X_OK)
      return undefined
    } catch {
      // The next directory may have it.
    }
  }
  return `${name} is not installed`
}

function tryCommand(command: string, args: string[]): string | undefined {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status === 0) return undefined
  return error?.message ?? (stderr.trim() || `${command} ended with status ${status}`)
}
