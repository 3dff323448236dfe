// SPDX-License-Identifier: MIT
// Containers in the background by the command line: each command is a process of its own.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ContainerInspection } from '../../lib/index.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { type CommandLine, openForContainers as open } from './cli-fixtures.ts'
import { needsContainers } from './rootfs.ts'

checkLeftovers()

const kWaiter = 'trap "echo bye; exit 5" TERM; echo out; echo err >&2; while :; do sleep 0.05; done'

async function statusOf(cli: CommandLine, name: string): Promise<string | undefined> {
  return (await cli.json<ContainerInspection[]>('inspect', name))[0]?.status
}

test('a container in the background: run, ps, logs, pause, stop, start, rename, rm', async (t) => {
  if (!needsContainers(t)) return
  const cli = await open(t)
  const id = (
    await cli.ok('run', '-d', '--name', 'boat', '--cidfile', 'id', '-l', 'a=b', 'test', 'sh', '-c', kWaiter)
  ).trim()
  assert.match(id, /^[0-9a-f]{64}$/)
  assert.equal(await readFile(join(cli.dir, 'id'), 'utf8'), id)
  const follower = cli.start(t, 'logs', '-f', 'boat')
  await follower.prints(/^out\n$/)
  assert.equal(await cli.ok('ps', '-q', '--no-trunc', '--filter', 'label=a=b'), `${id}\n`)
  const [header, row] = (await cli.ok('ps')).split('\n')
  assert.match(String(header), /^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +NAMES$/)
  assert.match(String(row), /^[0-9a-f]{12} +test +"sh -c trap "echo by…" +.* ago +Up .*boat$/)
  assert.equal(await cli.ok('pause', 'boat'), 'boat\n')
  assert.match(await cli.ok('ps'), /\(Paused\)/)
  await cli.fails(['rm', 'boat'], 1, /it is paused/)
  assert.equal(await cli.ok('unpause', 'boat'), 'boat\n')
  const waiter = cli.start(t, 'wait', 'boat')
  assert.equal(await cli.ok('stop', 'boat'), 'boat\n')
  assert.equal(await waiter.end(), 0)
  assert.equal(waiter.stdout, '5\n')
  assert.equal(await follower.end(), 0)
  assert.deepEqual([follower.stdout, follower.stderr], ['out\nbye\n', 'err\n'])
  assert.match(await cli.ok('logs', '--tail', '1', '-t', id.slice(0, 8)), /^\d{4}-\d\d-\d\dT\S+Z bye\n$/)
  assert.equal(await cli.ok('logs', '--until', '1h', 'boat'), '')
  assert.equal(await cli.ok('ps', '-q'), '')
  assert.match(await cli.ok('ps', '-l'), /Exited \(5\) .* ago +boat\n$/)
  assert.equal(await cli.ok('ps', '-q', '--no-trunc', '-f', 'exited=5'), `${id}\n`)
  assert.equal(await cli.ok('start', 'boat'), 'boat\n')
  assert.equal(await statusOf(cli, 'boat'), 'running')
  assert.equal(await cli.ok('rename', 'boat', 'ship'), '')
  assert.equal(await cli.ok('kill', 'ship'), 'ship\n')
  assert.equal(await cli.ok('wait', 'ship'), '137\n')
  assert.equal(await cli.ok('rm', 'ship'), 'ship\n')
  await cli.fails(['start', 'ship'], 1, /no container ship.*\nHint: 'wherry ps -a'/)
  const lines = (await cli.ok('events', '--since', '1h', '--until', '0s', '-f', `container=${id}`)).split('\n')
  const expected = 'create start pause unpause kill die stop start rename kill die destroy'
  assert.equal(
    lines
      .map((line) => line.split(' ')[2])
      .join(' ')
      .trim(),
    expected,
  )
  assert.match(
    lines[5] ?? '',
    / container die [0-9a-f]{64} \(a=b, execDuration=\d+, exitCode=5, image=test, name=boat\)$/,
  )
})

test('create, restart, kill with a signal, prune, and what is refused', async (t) => {
  if (!needsContainers(t)) return
  const cli = await open(t)
  const id = (await cli.ok('container', 'create', '--name', 'made', 'test', 'sh', '-c', kWaiter)).trim()
  assert.equal(await statusOf(cli, 'made'), 'created')
  assert.equal(await cli.ok('wait', 'made'), '0\n')
  await cli.fails(['create', '--name', 'made', 'test'], 1, /made/)
  await cli.ok('restart', 'made')
  const follower = cli.start(t, 'logs', '-f', 'made')
  await follower.prints(/out/)
  assert.equal(await cli.ok('kill', '-s', 'TERM', id.slice(0, 6)), `${id.slice(0, 6)}\n`)
  assert.equal(await cli.ok('wait', 'made'), '5\n')
  const partly = await cli.run(['rm', 'nothing', 'made'])
  assert.deepEqual([partly.exitCode, partly.stdout], [1, 'made\n'])
  assert.match(partly.stderr, /no container nothing/)
  // One whose program is not there is gone again.
  await cli.fails(['run', '-d', 'test', '/bin/nothing'], 127, /\/bin\/nothing/)
  const over = (await cli.ok('run', '-d', 'test', 'true')).trim()
  await cli.ok('wait', over)
  await cli.ok('run', '-d', '--rm', '--name', 'fleeting', 'test', 'true')
  assert.equal(await cli.ok('container', 'prune', '-f'), `Deleted Containers:\n${over}\n`)
  assert.equal(await cli.ok('ps', '-aq'), '')
  const gone = await cli.run(['rm', '-f', 'nothing'])
  assert.deepEqual([gone.exitCode, gone.stdout], [0, ''])
})

test('inspect knows containers and images apart', async (t) => {
  if (!needsContainers(t)) return
  const cli = await open(t)
  await cli.ok('create', '--name', 'test', 'test')
  const [container] = await cli.json<{ name?: string }[]>('inspect', 'test')
  assert.equal(container?.name, 'test')
  const [image] = await cli.json<{ tags?: string[] }[]>('inspect', '--type', 'image', 'test')
  assert.equal(image?.tags?.length, 1)
  const neither = await cli.run(['inspect', 'nothing'])
  assert.deepEqual([neither.exitCode, neither.stdout], [1, '[]\n'])
  assert.match(neither.stderr, /no container and no image nothing/)
})

test('volumes: create, ls, run -v, inspect, rm, prune, rm -v', async (t) => {
  if (!needsContainers(t)) return
  const cli = await open(t)
  assert.equal(await cli.ok('volume', 'create', '--label', 'a=b', 'numbers'), 'numbers\n')
  assert.match(await cli.ok('volume', 'ls'), /^DRIVER +VOLUME NAME\nlocal +numbers\n$/)
  await cli.ok('run', '-v', 'numbers:/data', 'test', 'sh', '-c', 'echo 42 > /data/answer')
  assert.equal(await cli.ok('run', '--mount', 'type=volume,src=numbers,dst=/d,ro', 'test', 'cat', '/d/answer'), '42\n')
  const id = (await cli.ok('create', '-v', '/srv', '-v', 'numbers:/data', 'test', 'true')).trim()
  assert.equal((await cli.ok('volume', 'ls', '-q')).split('\n').length, 3)
  await cli.fails(['volume', 'rm', 'numbers'], 1, /in use by container/)
  const [{ mounts } = { mounts: [] }] = await cli.json<ContainerInspection[]>('inspect', id)
  assert.deepEqual(mounts.map(({ target }) => target).sort(), ['/data', '/srv'])
  await cli.ok('rm', '-v', id)
  assert.equal(await cli.ok('volume', 'ls', '-q', '--filter', 'dangling=true'), 'numbers\n')
  assert.match(await cli.ok('volume', 'prune', '-af'), /^Deleted Volumes:\nnumbers\nTotal reclaimed space: /)
  assert.equal(await cli.ok('volume', 'rm', '-f', 'numbers'), 'numbers\n')
  const { exitCode, stdout, stderr } = await cli.run(['volume', 'inspect', 'numbers'])
  assert.deepEqual([exitCode, stdout], [1, '[]\n'])
  assert.match(stderr, /There is no volume numbers/)
})
