// SPDX-License-Identifier: MIT
// Containers by the command line: exit codes, streams, signals.
import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { missing } from '../helpers/needs.ts'
import { runChild } from '../helpers/run-child.ts'
import { CommandLine } from './cli-fixtures.ts'
import { needsContainers, processesWith } from './rootfs.ts'

checkLeftovers()

let cli: CommandLine

before(async () => {
  cli = new CommandLine(await mkdtemp(join(tmpdir(), 'wherry-cli-run-')))
  // Users of containers read files in it.
  await chmod(cli.dir, 0o755)
  if (missing('root') === undefined && missing('overlay') === undefined) await cli.importTestImage()
})
after(() => rm(cli.dir, { recursive: true, force: true }))

function sh(script: string, ...flags: string[]): string[] {
  return ['run', ...flags, 'test', '/bin/sh', '-c', script]
}

test("exits as the container's program does", async (t) => {
  if (!needsContainers(t)) return
  const cases: [args: string[], exitCode: number, stderr: RegExp][] = [
    [sh('true'), 0, /^$/],
    [sh('exit 3'), 3, /^$/],
    [sh('kill -9 $$', '--init'), 137, /^$/],
    [['run', 'test', '/bin/nothing'], 127, /^wherry: .*\/bin\/nothing/],
    [['run', 'test', '/bin/not-executable'], 126, /^wherry: .*\/bin\/not-executable/],
    [['run', '-u', 'nosuchuser', 'test', 'true'], 125, /nosuchuser/],
    [['run', '--pull', 'never', 'not-here', 'true'], 125, /not-here.*not in the store/],
    [['run', '--timeout', '0.3', '--init', 'test', 'sleep', '100'], 137, /longer than 0\.3 s/],
  ]
  for (const [args, exitCode, stderr] of cases) {
    const result = await cli.run(args)
    assert.match(result.stderr, stderr, args.join(' '))
    assert.equal(result.exitCode, exitCode, args.join(' '))
  }
  assert.equal(await cli.ok('run', 'test'), 'from Cmd\n')
})

test('streams go through, apart from each other', async (t) => {
  if (!needsContainers(t)) return
  const both = await cli.run(sh('echo out; echo err >&2'))
  assert.deepEqual([both.stdout, both.stderr], ['out\n', 'err\n'])
  const cat = await cli.run(['run', '-i', 'test', 'cat'], { input: 'typed\n'.repeat(50_000) })
  assert.equal(cat.stdout, 'typed\n'.repeat(50_000))
  // Without -i there is nothing to read.
  assert.equal((await cli.run(['run', 'test', 'cat'], { input: 'typed' })).stdout, '')
  // A reader that goes away: the program gets SIGPIPE, and nothing hangs.
  const words = cli.words('run', 'test', 'seq', '1', '10000000')
  const head = await runChild('sh', ['-c', '"$@" | head -1', 'sh', ...words], { env: cli.env })
  assert.deepEqual([head.stdout, head.stderr], ['1\n', ''])
  // Process 1 ignores the signal: it is not left to write for ever.
  const loop = cli.words('run', 'test', '/bin/sh', '-c', 'while :; do echo line; done 2>/dev/null')
  const endless = await runChild('sh', ['-c', '{ "$@"; echo "code $?" >&2; } | head -1', 'sh', ...loop], {
    env: cli.env,
  })
  assert.deepEqual([endless.stdout, endless.stderr], ['line\n', 'code 141\n'])
  // What the program does not read keeps nobody.
  assert.equal((await cli.run(['run', '-i', 'test', 'true'], { input: 'x'.repeat(1_000_000) })).exitCode, 0)
})

test("Docker's flags do what they do there", async (t) => {
  if (!needsContainers(t)) return
  await writeFile(join(cli.dir, 'env'), '# ours\nFROM_FILE=1\nBOTH=file\n')
  const script =
    'echo $FROM_FILE $BOTH $OWN; pwd; id -un; hostname; cat /data/env | head -1; echo x > /t/x && echo tmpfs; touch /y || :'
  const flags = ['-e', 'BOTH=flag', '-e', 'OWN', '--env-file', 'env', '-w', '/srv', '-u', 'alice', '-h', 'boat']
  const mounts = [
    '-v',
    '.:/data:ro',
    '--tmpfs',
    '/t:size=1m',
    '--read-only',
    '--cidfile',
    'cid',
    '--rm',
    '--name',
    'n1',
  ]
  const env = { ...cli.env, OWN: 'own' }
  const result = await cli.run(sh(script, ...flags, ...mounts, '--userns=host'), { env })
  assert.equal(result.stdout, '1 flag own\n/srv\nalice\nboat\n# ours\ntmpfs\n', result.stderr)
  assert.match(result.stderr, /Read-only file system/)
  assert.match(await readFile(join(cli.dir, 'cid'), 'utf8'), /^[0-9a-f]{64}$/)
  await cli.fails(
    ['run', '--cidfile', 'cid', 'test', 'true'],
    125,
    /The file cid of --cidfile exists already\.\nHint: remove it/,
  )
  const limits = await cli.ok(...sh('ulimit -n; ulimit -Hn', '--ulimit', 'nofile=77:88'))
  assert.equal(limits, '77\n88\n')
  assert.equal(await cli.ok('run', '--entrypoint', '/bin/echo', 'test', 'words'), 'words\n')
  // Flags after the image are the program's.
  assert.equal(await cli.ok('run', 'test', 'echo', '-e', '--rm', '-h'), '--rm -h\n')
  assert.match(await cli.ok('run', '--from-host', '--hide', '/root', 'ls', '-a', '/root'), /^\.\n\.\.\n$/)
})

test('signals go to the container', async (t) => {
  if (!needsContainers(t)) return
  const script =
    'trap "echo got TERM; exit 9" TERM; trap "echo got USR1" USR1; echo ready; while :; do sleep 0.05; done'
  const run = cli.start(t, ...sh(script))
  await run.prints(/ready/)
  run.signal('SIGUSR1')
  await run.prints(/got USR1/)
  run.signal('SIGTERM')
  assert.equal(await run.end(), 9)
  assert.equal(run.stdout, 'ready\ngot USR1\ngot TERM\n')
})

async function startDeaf(t: TestContext, marker: string, ...flags: string[]) {
  const run = cli.start(
    t,
    ...sh(`: ${marker}; trap "echo heard" INT; trap "" TERM; echo ready; while :; do sleep 0.05; done`, ...flags),
  )
  await run.prints(/ready/)
  return run
}

test('a container that will not end is ended by the third signal, or in time', async (t) => {
  if (!needsContainers(t)) return
  const patient = await startDeaf(t, 'cli-deaf-1')
  patient.signal('SIGINT')
  await patient.prints(/heard/)
  patient.signal('SIGINT')
  await patient.prints(/heard\nheard/)
  patient.signal('SIGINT')
  assert.equal(await patient.end(), 130)
  const timed = await startDeaf(t, 'cli-deaf-2', '--stop-timeout', '0.2', '--stop-signal', 'INT')
  timed.signal('SIGTERM')
  assert.equal(await timed.end(), 143)
  assert.equal(timed.stdout, 'ready\nheard\n')
  assert.deepEqual(processesWith('cli-deaf'), [])
})
