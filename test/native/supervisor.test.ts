// SPDX-License-Identifier: MIT
// What the launcher does for containers that outlast a call: log files, records of their ends, and life without Node.
import assert from 'node:assert/strict'
import { constants, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { superviseChild } from '../../lib/containers/supervise.ts'
import { Launcher } from '../../lib/launcher/launcher.ts'
import type { LauncherChild } from '../../lib/launcher/launcher-child.ts'
import type { Supervision } from '../../lib/launcher/messages.ts'
import { loadNative } from '../../lib/launcher/native.ts'
import { nulTerminated } from '../../lib/plan/encode.ts'
import { type Step, step } from '../../lib/plan/ops.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { until } from '../helpers/until.ts'
import { within } from '../helpers/within.ts'

checkLeftovers()

const native = loadNative()
const kRecord = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)$/s

interface Started {
  child: LauncherChild
  directory: string
  launcher: Launcher
}

function shell(script: string): Step {
  const args = ['sh', '-c', script]
  return step('exec', 'run a shell', [], ['sh', nulTerminated(args), nulTerminated([]), '/usr/bin:/bin'])
}

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'wherry-supervisor-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function startLauncher(t: TestContext): Launcher {
  const launcher = Launcher.start(native)
  launcher.hold()
  t.after(() => launcher.close())
  return launcher
}

async function start(t: TestContext, script: string, settings: Partial<Supervision> = {}): Promise<Started> {
  const launcher = startLauncher(t)
  const directory = temporary(t)
  const steps = [step('clone', 'create a child', [0, -1], ['', '']), step('setsid', 'start a session')]
  const child = launcher.clone([...steps, step('await', 'wait')], [])
  await child.prepared
  const [stdout, stdoutOfChild] = native.pipe('read')
  const [stderr, stderrOfChild] = native.pipe('read')
  const dirFd = openSync(directory, constants.O_RDONLY)
  const defaults = { detached: false, hasStdout: true, hasStderr: true, maxLogBytes: 0, maxLogFiles: 1 }
  const supervision = { pid: child.pid, ...defaults, cgroups: [], oomFiles: [], ...settings }
  await superviseChild({ native, launcher }, supervision, [dirFd, stdout, stderr])
  const program = [step('stdio', '', [32, 1]), step('stdio', '', [33, 2]), step('close_others', ''), shell(script)]
  await child.start(program, [stdoutOfChild, stderrOfChild])
  for (const fd of [stdout, stdoutOfChild, stderr, stderrOfChild, dirFd]) native.close(fd)
  return { child, directory, launcher }
}

/** Records of a log: stream, whether the line is whole, text. */
function readLog(directory: string, name = 'log'): [stream: string, mark: string, text: string][] {
  const text = readFileSync(join(directory, name), 'latin1')
  assert.ok(text === '' || text.endsWith('\n'))
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [, stream = '', mark = '', rest = ''] = kRecord.exec(line) ?? assert.fail(line.slice(0, 100))
      return [stream, mark, rest]
    })
}

test('output goes to the log, stream by stream, and the end is recorded before it is told', async (t) => {
  const { child, directory } = await start(t, 'echo out; echo err >&2; printf last; exit 7')
  await child.exited
  const [pid, status, , , maxRss, oomKills, finished] = readFileSync(join(directory, 'exit'), 'utf8').trim().split(' ')
  assert.deepEqual([Number(pid), Number(status), Number(oomKills)], [child.pid, 7 << 8, 0])
  assert.ok(Number(maxRss) > 0)
  assert.ok(Math.abs(Number(finished) - Date.now() / 1000) < 60)
  const log = readLog(directory)
  assert.deepEqual(
    log.filter(([stream]) => stream === 'stdout'),
    [
      ['stdout', 'F', 'out'],
      ['stdout', 'P', 'last'],
    ],
  )
  assert.deepEqual(
    log.filter(([stream]) => stream === 'stderr'),
    [['stderr', 'F', 'err']],
  )
})

test('long lines are split at 16 KiB and lose nothing', async (t) => {
  const size = 100_000
  const { child, directory } = await start(t, `head -c ${size} /dev/zero | tr '\\0' x; echo; echo next`)
  await child.exited
  const log = readLog(directory)
  assert.deepEqual(log.at(-1), ['stdout', 'F', 'next'])
  const pieces = log.slice(0, -1)
  assert.deepEqual(pieces.map(([, mark]) => mark).join(''), `${'P'.repeat(pieces.length - 1)}F`)
  assert.equal(pieces.map(([, , text]) => text).join(''), 'x'.repeat(size))
  for (const [, , text] of pieces) assert.ok(text.length <= 16 * 1024)
})

test('binary output is kept byte by byte', async (t) => {
  const { child, directory } = await start(t, "printf 'a\\000\\377\\nb\\r\\n'")
  await child.exited
  assert.deepEqual(
    readLog(directory).map(([, , text]) => text),
    ['a\0\xff', 'b\r'],
  )
})

test('a log that is full is rotated; the oldest goes', async (t) => {
  const script = 'i=0; while [ $i -lt 3000 ]; do echo "line $i of this log"; i=$((i+1)); done'
  const { child, directory } = await start(t, script, { maxLogBytes: 20_000, maxLogFiles: 3 })
  await child.exited
  const names = readdirSync(directory).filter((name) => name.startsWith('log'))
  assert.deepEqual(names.sort(), ['log', 'log.1', 'log.2'])
  const numbers = ['log.2', 'log.1', 'log']
    .flatMap((name) => readLog(directory, name))
    .map(([, , text]) => Number(/^line (\d+) of this log$/.exec(text)?.[1]))
  assert.equal(numbers.at(-1), 2999)
  numbers.forEach((number, i) => {
    assert.equal(number, 3000 - numbers.length + i)
  })
  for (const name of names) assert.ok(readFileSync(join(directory, name)).length <= 20_000)
})

test('a detached container goes on when its engine closes, and its end is recorded', async (t) => {
  const script = 'echo before; while [ ! -e "$0/go" ]; do sleep 0.02; done; echo after; exit 3'
  const directory = temporary(t)
  const { child, directory: place, launcher } = await start(t, script.replace('$0', directory), { detached: true })
  await until(() => existsSync(join(place, 'log')) && readLog(place).length === 1, 'the first line')
  await launcher.close()
  process.kill(child.pid, 0)
  assert.equal(existsSync(join(place, 'exit')), false)
  writeFileSync(join(directory, 'go'), '')
  await until(() => existsSync(join(place, 'exit')), 'a record of the end')
  const [pid, status] = readFileSync(join(place, 'exit'), 'utf8').split(' ').map(Number)
  assert.deepEqual([pid, status], [child.pid, 3 << 8])
  assert.deepEqual(
    readLog(place).map(([, , text]) => text),
    ['before', 'after'],
  )
  await until(() => !existsSync(`/proc/${launcher.pid}`), 'the end of the launcher')
})

test('an attached container ends with its engine', async (t) => {
  const { child, directory, launcher } = await start(t, 'sleep 1000')
  await launcher.close()
  const [pid, status] = readFileSync(join(directory, 'exit'), 'utf8').split(' ').map(Number)
  assert.deepEqual([pid, status], [child.pid, 9])
  assert.throws(() => process.kill(child.pid, 0), { code: 'ESRCH' })
})

test('a child that was killed while it waited gets a record all the same', async (t) => {
  const launcher = startLauncher(t)
  const directory = temporary(t)
  const child = launcher.clone([step('clone', '', [0, -1], ['', '']), step('await', '')], [])
  await child.prepared
  const { pid } = child
  child.kill(9)
  await child.exited
  const dirFd = openSync(directory, constants.O_RDONLY)
  const none = { hasStdout: false, hasStderr: false, maxLogBytes: 0, maxLogFiles: 1, cgroups: [], oomFiles: [] }
  launcher.supervise({ pid, detached: true, ...none }, [dirFd])
  native.close(dirFd)
  await until(() => existsSync(join(directory, 'exit')), 'a record of the end')
  assert.match(readFileSync(join(directory, 'exit'), 'utf8'), new RegExp(`^${pid} 9 `))
})

test('what others go on writing to the pipe does not hold up the end', { timeout: 60_000 }, async (t) => {
  // No pid namespace here: the flooder outlives the first process, as one would that was given the descriptor.
  const { child, directory } = await start(t, '(while :; do echo flood; done) & exit 5')
  await child.exited
  const [pid, status] = readFileSync(join(directory, 'exit'), 'utf8').split(' ').map(Number)
  assert.deepEqual([pid, status], [child.pid, 5 << 8])
})

test('a line without end is closed by a short piece, also when it fills its last piece', async (t) => {
  const { child, directory } = await start(t, "head -c 32768 /dev/zero | tr '\\0' x; printf rest >&2")
  await child.exited
  const log = readLog(directory)
  const stdout = log.filter(([stream]) => stream === 'stdout').map(([, mark, text]) => [mark, text.length])
  assert.deepEqual(stdout, [
    ['P', 16384],
    ['P', 16384],
    ['P', 0],
  ])
  assert.deepEqual(
    log.filter(([stream]) => stream === 'stderr'),
    [['stderr', 'P', 'rest']],
  )
})

test('what is attached ends with its engine, and is told of, while what is detached goes on', async (t) => {
  const script = 'while [ ! -e "$0/go" ]; do sleep 0.02; done'
  const place = temporary(t)
  const { launcher, directory } = await start(t, script.replace('$0', place), { detached: true })
  const attached = launcher.clone([step('clone', '', [0, -1], ['', '']), step('await', '')], [])
  await attached.prepared
  await launcher.close()
  assert.equal((await within(attached.exited, 'the end of what is attached')).signal, 9)
  assert.equal(existsSync(join(directory, 'exit')), false)
  writeFileSync(join(place, 'go'), '')
  await until(() => existsSync(join(directory, 'exit')), 'a record of the end')
  await until(() => !existsSync(`/proc/${launcher.pid}`), 'the end of the launcher')
})

test('the end is recorded before the process is gone', async (t) => {
  const { child, directory } = await start(t, 'exit 0')
  const path = `/proc/${child.pid}`
  // Whoever looks in this order never finds neither.
  while (existsSync(path)) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(existsSync(join(directory, 'exit')))
  await child.exited
})
