// SPDX-License-Identifier: MIT
// System calls that are missing, forbidden or fail: the fallback works, or the error says what to do; nothing is left behind.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { after, test } from 'node:test'
import type { RunOptions } from '../../lib/container.ts'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { ContainerStartError, SyscallError, type WherryError } from '../../lib/errors.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { needs } from '../helpers/needs.ts'
import { runChild } from '../helpers/run-child.ts'
import { until } from '../helpers/until.ts'
import { needsContainers } from '../integration/rootfs.ts'
import { cgroupsOf, read, useFaultRoot } from './fault-root.ts'
import { type Injection, withFaults } from './injection.ts'

type TextOptions = RunOptions & { encoding?: BufferEncoding | undefined }

const kTimeoutMs = 120_000

checkLeftovers()
const root = useFaultRoot()
let opened: Engine | undefined
after(() => opened?.close())

/** An engine that prepares nothing ahead: every run makes all its calls while they fail. */
async function getEngine(): Promise<Engine> {
  opened ??= await Engine.open({ root, prepared: 0 })
  return opened
}

type Userns = 'auto' | 'host'
const kUserns: readonly Userns[] = ['auto', 'host']

/** Uses a little of everything. */
async function runFully(engine: Engine, userns: Userns): Promise<string> {
  const options: TextOptions = {
    engine,
    userns,
    cwd: '/made/for/this',
    mounts: [
      { type: 'tmpfs', target: '/scratch' },
      { type: 'bind', source: '/usr/share', target: '/bound', readOnly: true },
    ] as const,
    ulimits: { nofile: 100 },
  }
  const script =
    'pwd; ulimit -n; touch /bound/x 2>/dev/null || echo ro; echo x > /proc/sys/kernel/hostname 2>/dev/null || echo ro'
  const { stdout } = await Container.run('fault', ['/bin/sh', '-c', script], options)
  return stdout
}

const kFullOutput = '/made/for/this\n100\nro\nro\n'

/** Nothing of a failed start stays: processes, cgroups, writable layers. */
async function nothingLeft(engine: Engine): Promise<void> {
  const { launcher } = await engine.runtime()
  const left = (): string[] => [
    ...read(`/proc/${launcher.pid}/task/${launcher.pid}/children`)
      .trim()
      .split(' ')
      .filter((pid) => !/janitor/.test(read(`/proc/${pid}/comm`))),
    ...cgroupsOf(engine.store.session.id),
    ...readdirSync(engine.sessionDir).filter((name) => /^\d+$/.test(name)),
  ]
  await until(() => left().length === 0, 'nothing is left of the failed start').catch((error: unknown) => {
    assert.deepEqual(left(), [], String(error))
  })
}

function missingCalls(...names: string[]): Injection[] {
  return names.map((name) => `${name}:error=ENOSYS`)
}

const kFallbacks: [name: string, faults: Injection[]][] = [
  ['clone3', missingCalls('clone3')],
  ['openat2', missingCalls('openat2')],
  ['close_range', missingCalls('close_range')],
  ['fsopen', missingCalls('fsopen')],
  ['pidfd_open', missingCalls('pidfd_open')],
  ['mount_setattr', missingCalls('mount_setattr')],
  ['all of them', missingCalls('clone3', 'openat2', 'close_range', 'fsopen', 'pidfd_open', 'mount_setattr')],
]

for (const [name, faults] of kFallbacks) {
  for (const userns of kUserns) {
    test(`works without ${name} (userns ${userns})`, { timeout: kTimeoutMs }, async (t) => {
      if (!needsContainers(t) || !needs(t, 'command:strace')) return
      const engine = await getEngine()
      assert.equal(await withFaults(engine, faults, () => runFully(engine, userns)), kFullOutput)
      await nothingLeft(engine)
    })
  }
}

async function startFailure(engine: Engine, faults: Injection[], userns: Userns): Promise<ContainerStartError> {
  let found: unknown
  try {
    await withFaults(engine, faults, () => runFully(engine, userns))
  } catch (error) {
    found = error
  }
  assert.ok(found instanceof ContainerStartError, `expected a ContainerStartError, got ${String(found)}`)
  await nothingLeft(engine)
  return found
}

const kHints: [fault: Injection, userns: Userns, hint: RegExp][] = [
  ['clone3:error=EPERM', 'auto', /kernel\.unprivileged_userns_clone.*user\.max_user_namespaces.*apparmor_restrict/],
  ['clone3:error=ENOSPC', 'auto', /user\.max_\*_namespaces/],
  ['clone3:error=EUSERS', 'auto', /user\.max_\*_namespaces/],
  ['clone3:error=EAGAIN', 'host', /ulimit -u/],
  ['clone3:error=ENOSPC', 'host', /user\.max_\*_namespaces/],
  ['fsmount:error=ENOSPC', 'auto', /fs\.mount-max/],
  ['move_mount:error=ENOSPC', 'host', /fs\.mount-max/],
  ['fsopen:error=EMFILE', 'auto', /ulimit -n/],
  ['openat2:error=ENFILE', 'auto', /fs\.file-max/],
]

for (const [fault, userns, hint] of kHints) {
  test(`the hint for ${fault} (userns ${userns})`, { timeout: kTimeoutMs }, async (t) => {
    if (!needsContainers(t) || !needs(t, 'command:strace')) return
    const error = await startFailure(await getEngine(), [fault], userns)
    assert.match(error.hint ?? '', hint, error.message)
    assert.match(error.message, hint)
    assert.equal(error.message.split('Hint:').length, 2, `one hint: ${error.message}`)
  })
}

/** Calls without which there is no container, or not a safe one: failing must never be overlooked. */
const kNeeded: [fault: Injection, userns: readonly Userns[]][] = [
  ['socketpair:error=EIO', kUserns],
  ['mkdirat:error=EIO', kUserns],
  ['setsid:error=EIO', kUserns],
  ['sethostname:error=EIO', kUserns],
  ['fsopen:error=EIO', kUserns],
  ['fsconfig:error=EIO', kUserns],
  ['fsmount:error=EIO', kUserns],
  ['fsmount:error=EIO:when=2', kUserns],
  ['fsmount:error=EIO:when=4', kUserns],
  ['move_mount:error=EIO:when=2', kUserns],
  ['move_mount:error=EIO:when=5', kUserns],
  ['move_mount:error=EIO:when=9', kUserns],
  ['open_tree:error=EIO', kUserns],
  ['mount_setattr:error=EIO', kUserns],
  ['mount:error=EIO', kUserns],
  ['symlinkat:error=EIO', kUserns],
  ['pivot_root:error=EIO', kUserns],
  ['umount2:error=EIO', kUserns],
  ['setrlimit,prlimit64:error=EIO', kUserns],
  ['close_range:error=EIO', kUserns],
  ['getcwd:error=EIO', kUserns],
  ['setgroups:error=EIO', kUserns],
  ['setresgid:error=EIO', kUserns],
  ['setresuid:error=EIO', kUserns],
  ['capset:error=EIO', kUserns],
  ['prctl:error=EIO', kUserns],
  ['seccomp:error=EIO', kUserns],
  ['execve:error=EIO', kUserns],
]

for (const [fault, settings] of kNeeded) {
  for (const userns of settings) {
    test(`a failing ${fault} is reported (userns ${userns})`, { timeout: kTimeoutMs }, async (t) => {
      if (!needsContainers(t) || !needs(t, 'command:strace')) return
      const error = await startFailure(await getEngine(), [fault], userns)
      assert.ok(error.cause instanceof SyscallError, String(error.cause))
      assert.equal(error.cause.code, 'EIO')
      assert.ok(error.step !== undefined && error.exitCode >= 125)
      assert.match(error.message, /failed with EIO \(i\/o error\)/)
    })
  }
}

test('the engine works on after all that', { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  for (const userns of kUserns) assert.equal(await runFully(await getEngine(), userns), kFullOutput)
})

test('user.max_user_namespaces=0 is named in the hint', { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t) || !needs(t, 'command:unshare')) return
  const lib = (name: string): string => JSON.stringify(new URL(`../../lib/${name}.js`, import.meta.url))
  const source = `
    const { Container } = await import(${lib('container')})
    const { Engine } = await import(${lib('engine')})
    const engine = await Engine.open({ root: ${JSON.stringify(root)} })
    try {
      await Container.run('fault', ['/bin/true'], { engine })
    } catch ({ name, code, hint, message }) {
      console.log(JSON.stringify({ name, code, hint, message }))
    }
    await engine.close()`
  const script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" --input-type=module --eval "$1"'
  const inPrivate = ['--user', '--map-root-user', 'sh', '-c', script, process.execPath, source]
  const { stdout, stderr } = await runChild('unshare', inPrivate)
  assert.match(stdout, /^\{/, stderr)
  const error = JSON.parse(stdout) as WherryError
  assert.ok(['ContainerStartError', 'SyscallError', 'UnsupportedHostError'].includes(error.name), stdout)
  assert.match(error.hint ?? '', /user\.max_user_namespaces/)
})
