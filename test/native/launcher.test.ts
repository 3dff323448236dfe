// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { SyscallError } from '../../lib/errors.ts'
import { Launcher } from '../../lib/launcher/launcher.ts'
import { LauncherChild } from '../../lib/launcher/launcher-child.ts'
import { cloneRequest, kMaxInlinePlan } from '../../lib/launcher/messages.ts'
import { loadNative, type Native } from '../../lib/launcher/native.ts'
import { encodePlan, nulTerminated } from '../../lib/plan/encode.ts'
import { type Step, step } from '../../lib/plan/ops.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { needs } from '../helpers/needs.ts'
import { until } from '../helpers/until.ts'

checkLeftovers()

const native = loadNative()
// native/protocol.h
const kStatusPid = 1
const kStatusAwait = 2
const kStatusBytes = 64
const kSigkill = 9
const kSigterm = 15

function startLauncher(t: TestContext): Launcher {
  const launcher = Launcher.start(native)
  // Nothing else keeps the event loop alive while a child is prepared.
  launcher.hold()
  t.after(() => launcher.close())
  return launcher
}

/** A child in no namespaces of its own: what the launcher does with it is the same, and it takes no privilege. */
const kPlainClone = step('clone', 'create a child', [0, -1], ['', ''])
const kAwait = step('await', 'wait')

function exec(...args: [string, ...string[]]): Step {
  return step('exec', `run ${args[0]}`, [], [args[0], nulTerminated(args), nulTerminated([]), '/usr/bin:/bin'])
}

/** Steps with which a child ends as told. */
async function prepare(launcher: Launcher, steps: readonly Step[] = []): Promise<LauncherChild> {
  const child = launcher.clone([kPlainClone, ...steps, kAwait], [])
  await child.prepared
  return child
}

function isSyscallError(fields: Partial<SyscallError>): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SyscallError, String(error))
    for (const [key, value] of Object.entries(fields)) assert.equal(error[key as keyof SyscallError], value, key)
    return true
  }
}

test('a child waits, runs a program, and its end is told with its exit code', async (t) => {
  const child = await prepare(startLauncher(t))
  assert.ok(child.pid > 0)
  assert.equal(child.ended, false)
  await child.start([exec('sh', '-c', 'exit 7')], [])
  const event = await child.exited
  assert.deepEqual([event.pid, event.exitCode, event.signal], [child.pid, 7, null])
  assert.ok(event.maxRssBytes > 0)
  assert.equal(child.ended, true)
})

test('a signal reaches the process, and its end says so; a second one is no error', async (t) => {
  const child = await prepare(startLauncher(t))
  await child.start([exec('sleep', '1000')], [])
  child.kill(kSigterm)
  const event = await child.exited
  assert.deepEqual([event.exitCode, event.signal], [null, kSigterm])
  child.kill(kSigkill)
})

test('a child that is let go ends', async (t) => {
  const child = await prepare(startLauncher(t))
  child.release()
  assert.equal((await child.exited).exitCode, 0)
})

test('a failed step of the first plan is named', async (t) => {
  const steps = [kPlainClone, step('chdir', 'enter a place', [0], ['/does/not/exist']), kAwait]
  const child = startLauncher(t).clone(steps, [])
  await assert.rejects(
    child.prepared,
    isSyscallError({ code: 'ENOENT', errno: 2, step: 'chdir', syscall: 'chdir' } as Partial<SyscallError>),
  )
  assert.equal((await child.exited).exitCode, 127)
})

test('a failed step of the second plan is named', async (t) => {
  const launcher = startLauncher(t)
  const child = await prepare(launcher)
  await assert.rejects(child.start([exec('no-such-program')], []), isSyscallError({ code: 'ENOENT', step: 'exec' }))
  assert.equal((await child.exited).exitCode, 127)
})

test('what cannot be executed is told apart from what is missing', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'wherry-launcher-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  writeFileSync(join(dir, 'plain'), 'x', { mode: 0o644 })
  writeFileSync(join(dir, 'script'), '#!/does/not/exist\n', { mode: 0o755 })
  writeFileSync(join(dir, 'nonsense'), '\0\0\0', { mode: 0o755 })
  const launcher = startLauncher(t)
  for (const [name, expected] of [
    ['plain', { code: 'EACCES' }],
    ['script', { code: 'ENOENT', syscall: 'execve (interpreter)' }],
    ['nonsense', { code: 'ENOEXEC' }],
    ['.', { code: 'EISDIR' }],
  ] as [string, Partial<SyscallError>][]) {
    const child = await prepare(launcher)
    await assert.rejects(child.start([exec(join(dir, name))], []), isSyscallError({ ...expected, step: 'exec' }))
    await child.exited
  }
})

test('a plan that is too long for a message goes in a memfd, in both places', async (t) => {
  const program = ['sh', '-c', 'test "$(printf %s "$1" | wc -c)" = 100000', 'sh', 'z'.repeat(100_000)] as const
  assert.ok(encodePlan([exec(...program)]).length > kMaxInlinePlan)
  const launcher = startLauncher(t)
  const write = step('write_file', 'fill', [-1, 0o600, 0], ['/dev/null', 'w'.repeat(200_000)])
  const child = launcher.clone([kPlainClone, write, kAwait], [])
  await child.prepared
  await child.start([exec(...program)], [])
  assert.equal((await child.exited).exitCode, 0)
})

test('descriptors come into the slots of their plan', async (t) => {
  const launcher = startLauncher(t)
  const [first, firstTheirs] = native.pipe('read')
  const [second, secondTheirs] = native.pipe('read')
  t.after(() => {
    native.close(first)
    native.close(second)
  })
  const child = launcher.clone([kPlainClone, kAwait], [firstTheirs])
  await child.prepared
  const steps = [step('stdio', 'connect 1', [0, 1]), step('stdio', 'connect 2', [32, 2])]
  await child.start(
    [...steps, step('close_others', 'close'), exec('sh', '-c', 'echo out; echo err >&2; ls /proc/self/fd >&2')],
    [secondTheirs],
  )
  native.close(firstTheirs)
  native.close(secondTheirs)
  await child.exited
  assert.equal(readFileSync(first, 'utf8'), 'out\n')
  // ls adds the directory that it reads.
  assert.equal(readFileSync(second, 'utf8'), 'err\n0\n1\n2\n3\n')
})

for (const [name, damage] of [
  ['not a plan', () => new Uint8Array(64)],
  ['an empty plan', () => new Uint8Array(0)],
  ['a plan cut short', (plan: Uint8Array) => plan.subarray(0, plan.length - 8)],
  ['a plan with an unknown operation', (plan: Uint8Array) => plan.with(16, 0xff)],
  ['a plan with a slot out of range', () => encodePlan([step('close', '', [64])])],
] as [string, (plan: Uint8Array) => Uint8Array][]) {
  test(`${name} is refused, and the launcher goes on`, async (t) => {
    const { fd, pid } = native.startLauncher()
    let onEnd = (): void => {}
    const ended = new Promise<void>((resolve) => {
      onEnd = resolve
    })
    const control = new native.Channel(fd, (message) => message === null && onEnd())
    const [ours, theirs] = native.socketPair()
    control.ref()
    const child = new LauncherChild(native, ours, [], {
      explain: (failure) => new Error(`${failure.call}, ${failure.errno}`),
      onPid: () => assert.fail('there is no process'),
    })
    t.after(async () => {
      child.release()
      control.end()
      await ended
      native.reap(pid)
    })
    control.send(cloneRequest(damage(encodePlan([kPlainClone, kAwait])), false), [theirs])
    native.close(theirs)
    await assert.rejects(child.prepared, /, 22/)
    assert.ok(existsSync(`/proc/${pid}`))
  })
}

test('a child that says that it waits before its pid is told is prepared once that is known', async (t) => {
  const [ours, theirs] = native.socketPair()
  const status = new native.Channel(theirs, () => undefined)
  const pids: number[] = []
  let heard = 0
  // Counts what the child has been told.
  const Channel = class extends native.Channel {
    constructor(fd: number, onMessage: (bytes: Buffer | null, fds: number[]) => void) {
      super(fd, (bytes, fds) => {
        onMessage(bytes, fds)
        heard++
      })
    }
  }
  const counting = Object.assign(Object.create(native) as Native, { Channel })
  const child = new LauncherChild(counting, ours, [], {
    explain: () => assert.fail('nothing failed'),
    onPid: ({ pid }) => pids.push(pid),
  })
  t.after(() => {
    child.release()
    status.close()
  })
  const say = (kind: number, value: number): void => {
    const message = Buffer.alloc(kStatusBytes)
    message.writeUInt32LE(kind, 0)
    message.writeInt32LE(value, 4)
    status.send(message, [])
  }
  let isPrepared = false
  void child.prepared.then(() => {
    isPrepared = true
  })
  say(kStatusAwait, 0)
  await until(() => heard === 1, 'it has been told that it waits')
  assert.equal(isPrepared, false)
  // Above any pid that there can be.
  say(kStatusPid, 2 ** 22 + 1)
  await child.prepared
  assert.deepEqual(pids, [2 ** 22 + 1])
})

test('a plan that ends without a program fails, and does not run on into nothing', async (t) => {
  const child = await prepare(startLauncher(t))
  await assert.rejects(child.start([step('umask', 'set', [0o22])], []), /plan ended without exec/)
  await child.exited
})

test('closing kills what runs, ends what waits, and removes what was registered', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'wherry-launcher-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  mkdirSync(join(dir, 'scratch/deep'), { recursive: true })
  writeFileSync(join(dir, 'kept'), '')
  const launcher = startLauncher(t)
  launcher.registerCleanup([`d${join(dir, 'scratch')}`])
  const waiting = await prepare(launcher)
  const running = await prepare(launcher)
  await running.start([exec('sleep', '1000')], [])
  await launcher.close()
  assert.equal((await running.exited).signal, kSigkill)
  assert.equal((await waiting.exited).signal, kSigkill)
  assert.ok(!existsSync(join(dir, 'scratch')))
  assert.ok(existsSync(join(dir, 'kept')))
  assert.throws(() => launcher.clone([kAwait], []), { code: 'ERR_LAUNCHER_GONE' })
})

test('a launcher that is killed takes its children along, whose ends are told', async (t) => {
  const launcher = startLauncher(t)
  const child = await prepare(launcher, [step('pdeathsig', 'end with the launcher', [kSigkill])])
  await child.start([exec('sleep', '1000')], [])
  process.kill(launcher.pid, 'SIGKILL')
  assert.equal((await child.exited).signal, kSigkill)
})

test('removal on request', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'wherry-launcher-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  mkdirSync(join(dir, 'scratch/deep'), { recursive: true })
  const launcher = startLauncher(t)
  launcher.remove([`d${join(dir, 'scratch')}`])
  await launcher.close()
  assert.ok(!existsSync(join(dir, 'scratch')))
})

test('a hundred children at once', async (t) => {
  const launcher = startLauncher(t)
  const children = await Promise.all(Array.from({ length: 100 }, () => prepare(launcher)))
  assert.equal(new Set(children.map(({ pid }) => pid)).size, 100)
  await Promise.all(children.map((child, i) => child.start([exec('sh', '-c', `exit ${i}`)], [])))
  const codes = await Promise.all(children.map(async ({ exited }) => (await exited).exitCode))
  assert.deepEqual(
    codes,
    children.map((_, i) => i),
  )
})

test('in a user namespace of its own the child is root of it', async (t) => {
  if (!needs(t, 'userns')) return
  const launcher = startLauncher(t)
  const [ours, theirs] = native.pipe('read')
  t.after(() => native.close(ours))
  const kNewUser = 0x10000000
  const ids = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0].map((id) => `0 ${id} 1\n`)
  const mode = process.geteuid?.() === 0 ? '' : 'deny'
  const child = launcher.clone([step('clone', 'create a child', [kNewUser, -1], [...ids, mode]), kAwait], [theirs])
  await child.prepared
  await child.start([step('stdio', 'connect 1', [0, 1]), exec('sh', '-c', 'id -u; cat /proc/self/uid_map')], [])
  native.close(theirs)
  assert.equal((await child.exited).exitCode, 0)
  const outside = process.geteuid?.() ?? 0
  assert.deepEqual(readFileSync(ours, 'utf8').trim().split(/\s+/), ['0', '0', String(outside), '1'])
})
