// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { normalizeExecOptions } from '../../lib/options/exec-options.ts'
import type { SpawnedExec } from '../../lib/runtime/exec-spawn.ts'
import { spawnInContainer } from '../../lib/runtime/exec-spawn.ts'
import { leavesNothing } from '../helpers/leftovers.ts'
import { until } from '../helpers/until.ts'
import { execCgroups, inContainer } from './exec-fixtures.ts'
import { eachSetting, processesWith, useFixture } from './rootfs.ts'

const fixture = useFixture()

/** Starts children of all kinds, each with a command line that `mark` names, and waits: in its group, out of it, orphaned. */
function bushy(mark: number): string {
  const child = `sleep ${mark}`
  return `${child} & setsid ${child} & (${child} &) ; (setsid sh -c '${child} & wait' &) ; echo ready; wait`
}

let nextMark = 70_000

async function firstLine({ stdout }: SpawnedExec): Promise<void> {
  await new Promise((resolve) => stdout?.once('data', resolve))
}

eachSetting(fixture, 'an abort ends all that the program has started', async (setting) => {
  await inContainer(setting, async ({ exec, spawn, target, runtime }) => {
    const mark = nextMark++
    const abort = new AbortController()
    const program = await spawn(['/bin/sh', '-c', bushy(mark)], { signal: abort.signal })
    await firstLine(program)
    await until(() => processesWith(`sleep\0${mark}`).length === 4, 'all are there')
    abort.abort(new Error('enough'))
    await assert.rejects(program.exited, /enough/)
    assert.deepEqual(processesWith(String(mark)), [])
    assert.equal((await exec(['/bin/true'])).exit.exitCode, 0, 'the container lives on')
    await runtime.execs.slots.clear()
    await until(() => execCgroups(target).length === 0, 'its cgroup is gone')
    await assert.rejects(exec(['/bin/true'], { signal: AbortSignal.abort(new Error('before')) }), /before/)
  })
})

eachSetting(fixture, 'time and output are limited', async (setting) => {
  await inContainer(setting, async ({ exec }) => {
    const mark = nextMark++
    const late = await exec(['/bin/sh', '-c', bushy(mark)], { timeoutMs: 1_500 })
    assert.deepEqual([late.timedOut, late.killSignal, String(late.stdout)], [true, 'SIGKILL', 'ready\n'])
    assert.deepEqual(processesWith(String(mark)), [])
    const loud = await exec(['/bin/cat', '/dev/zero'], { maxOutputBytes: 1000 })
    assert.deepEqual([loud.overflowed, loud.stdout.length], [true, 1000])
    const early = await exec(['/bin/sleep', '1000'], { timeoutMs: 1 })
    assert.equal(early.timedOut, true)
  })
})

eachSetting(fixture, 'without a cgroup of its own, its session and descendants are ended', async (setting) => {
  await inContainer(setting, async ({ runtime, target }) => {
    const mark = nextMark++
    const abort = new AbortController()
    const script = `sleep ${mark} & setsid sleep ${mark} & (sleep ${mark} &); echo ready; wait`
    const options = normalizeExecOptions(['/bin/sh', '-c', script], { signal: abort.signal })
    const program = await spawnInContainer(runtime, { ...target, cgroup: undefined }, options)
    await firstLine(program)
    await until(() => processesWith(`sleep\0${mark}`).length === 3, 'all are there')
    abort.abort(new Error('enough'))
    await assert.rejects(program.exited, /enough/)
    await until(() => processesWith(`sleep\0${mark}`).length === 0, 'all are gone')
  })
})

eachSetting(fixture, 'what it leaves running goes on, and does not hold up its end', async (setting) => {
  await inContainer(setting, async ({ exec, target }) => {
    const mark = nextMark++
    const { stdout } = await exec(['/bin/sh', '-c', `sleep ${mark} & echo started`])
    assert.equal(String(stdout), 'started\n')
    assert.equal(processesWith(`sleep\0${mark}`).length, 1)
    const copy = new PassThrough()
    await exec(['/bin/sh', '-c', `sleep ${mark} & echo started`], { stdout: copy })
    copy.end()
    assert.equal(await text(copy), 'started\n')
    assert.equal(processesWith(`sleep\0${mark}`).length, 2)
    assert.ok(existsSync(`/proc/${target.pid}`))
  })
})

eachSetting(fixture, 'streams of a program: input, separate outputs, back-pressure, end', async (setting) => {
  await inContainer(setting, async ({ spawn }) => {
    const program = await spawn(['/bin/sh', '-c', 'cat; echo done >&2'], { stdin: 'pipe' })
    const { stdin, stdout, stderr } = program
    assert.ok(stdin !== null && stdout !== null && stderr !== null)
    const piece = Buffer.alloc(1 << 16, 'x')
    let size = 0
    stdout.on('data', (chunk: Buffer) => {
      size += chunk.length
    })
    const said = text(stderr)
    for (let i = 0; i < 160; i++) if (!stdin.write(piece)) await new Promise((resolve) => stdin.once('drain', resolve))
    stdin.end()
    const end = await program.exited
    assert.deepEqual([end.exit.exitCode, end.stopped, await said], [0, undefined, 'done\n'])
    await until(() => size === 160 * piece.length, 'all has arrived')
    const quiet = await spawn(['/bin/true'], { stdout: 'ignore', stderr: 'ignore' })
    assert.deepEqual([quiet.stdin, quiet.stdout, quiet.stderr], [null, null, null])
    await quiet.exited
    const failed = await spawn(['/bin/sh', '-c', 'trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done'])
    await firstLine(failed)
    failed.kill(15)
    assert.equal((await failed.exited).exit.exitCode, 5)
    failed.kill(15)
  })
})

eachSetting(fixture, 'a terminal: size, typing, interrupt', async (setting) => {
  await inContainer(setting, async ({ spawn, exec }) => {
    assert.equal(
      String((await exec(['/bin/sh', '-c', 'tty; echo $TERM'], { tty: true })).stdout),
      '/dev/pts/0\r\nxterm\r\n',
    )
    const size = { rows: 33, columns: 111 }
    const script = 'trap "stty size" WINCH; trap "exit 6" INT; stty size; while :; do sleep 0.05; done'
    const program = await spawn(['/bin/sh', '-c', script], { tty: true, stdin: 'pipe', terminalSize: size })
    let seen = ''
    program.stdout?.on('data', (chunk: Buffer) => {
      seen += String(chunk)
    })
    await until(() => seen.includes('33 111\r\n'), 'it has its size')
    program.resize(44, 122)
    await until(() => seen.includes('44 122\r\n'), 'it has the new size')
    program.stdin?.write('\x03')
    assert.equal((await program.exited).exit.exitCode, 6)
    assert.equal(program.stderr, null)
    program.resize(1, 1)
  })
})

eachSetting(
  fixture,
  'a hostile container holds nobody up and gets nothing',
  async (setting) => {
    const options = { capabilities: { add: ['ALL'] }, seccomp: 'unconfined' } as const
    await inContainer(
      setting,
      async ({ sh, exec, spawn }) => {
        await sh('rm /etc/passwd /etc/group; mknod /etc/passwd p; ln -s /proc/kmsg /etc/group')
        assert.equal(await sh('echo $HOME'), '/\n', 'nobody reads a FIFO')
        await assert.rejects(exec(['/bin/true'], { user: 'alice' }), /alice/)
        await sh('rm /etc/passwd; ln -s /proc/self/fd/0 /etc/passwd')
        assert.equal(await sh('echo $HOME', { input: 'x:x:0:0::/magic:\n' }), '/\n')
        // /proc is whatever the container makes of it.
        await sh(
          'mount -t tmpfs tmpfs /proc; mkdir -p /proc/self/fd /proc/1/ns; mknod /proc/1/ns/mnt p; mknod /proc/self/status p',
        )
        assert.equal(await sh('echo fine'), 'fine\n')
        await sh('umount -l /dev/null || true; rm /dev/null; mknod /dev/null p')
        assert.equal(await sh('echo fine'), 'fine\n')
        await sh('umount /dev/pts; mknod /dev/pts/ptmx p; rm /dev/ptmx')
        await assert.rejects(spawn(['/bin/true'], { tty: true }), /open the terminal/)
      },
      options,
    )
  },
  ['imported'],
)

eachSetting(fixture, 'an end of the container is an end of the programs in it', async (setting) => {
  await inContainer(setting, async ({ spawn, kill }) => {
    const programs = await Promise.all([spawn(['/bin/sleep', '1000']), spawn(['/bin/sleep', '1000'])])
    kill('SIGKILL')
    const ends = await Promise.all(programs.map(({ exited }) => exited))
    assert.deepEqual(
      ends.map(({ killSignal, stopped }) => [killSignal, stopped]),
      [
        ['SIGKILL', undefined],
        ['SIGKILL', undefined],
      ],
    )
  })
})

eachSetting(fixture, 'a frozen container lets go of who no longer waits', async (setting) => {
  await inContainer(setting, async ({ exec, target, runtime }) => {
    const { cgroup } = target
    assert.ok(cgroup !== undefined)
    await cgroup.freeze()
    const abort = new AbortController()
    setTimeout(() => abort.abort(new Error('enough')), 50)
    await assert.rejects(exec(['/bin/true'], { signal: abort.signal }), /enough/)
    await cgroup.thaw()
    await leavesNothing(async () => {
      assert.equal((await exec(['/bin/true'])).exit.exitCode, 0)
      await runtime.execs.slots.clear()
    })
    await until(() => execCgroups(target).length === 0, 'nothing came later')
  })
})

eachSetting(fixture, 'a terminal that nobody reads any more hangs up', async (setting) => {
  await inContainer(setting, async ({ spawn }) => {
    const stdout = new PassThrough()
    for (const target of ['pipe', stdout] as const) {
      const program = await spawn(['/bin/sh', '-c', 'while echo line; do :; done'], {
        tty: true,
        stdin: 'pipe',
        stdout: target,
        timeoutMs: 10_000,
      })
      const output = target === 'pipe' ? program.stdout : stdout
      output?.once('data', () => output.destroy())
      assert.equal((await program.exited).stopped, undefined)
    }
  })
})
