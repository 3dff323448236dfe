// SPDX-License-Identifier: MIT
// Programs and files in containers by the command line: exec, cp, diff, commit, export.
import assert from 'node:assert/strict'
import { chown, lstat, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { needs } from '../helpers/needs.ts'
import { runChild } from '../helpers/run-child.ts'
import { openForContainers as open } from './cli-fixtures.ts'
import { needsContainers } from './rootfs.ts'

checkLeftovers()

test('exec, cp, diff, commit and export', async (t) => {
  if (!needsContainers(t) || !needs(t, 'root')) return
  const cli = await open(t)
  await cli.ok('run', '-d', '--name', 'boat', '-e', 'WHO=me', 'test', 'sleep', '1000')

  await t.test('exec: streams, variables, user, directory, exit codes', async () => {
    const script = 'cat; echo $WHO $MORE $PWD; id -u; echo err >&2; exit 9'
    const flags = ['-i', '-e', 'MORE=too', '-w', '/srv', '-u', 'alice']
    const all = await cli.run(['exec', ...flags, 'boat', 'sh', '-c', script], { input: 'piped\n' })
    assert.deepEqual([all.exitCode, all.stdout, all.stderr], [9, 'piped\nme too /srv\n1000\n', 'err\n'])
    await cli.fails(['exec', 'boat', 'no-such-program'], 127, /not found in PATH/)
    await cli.fails(['exec', 'nothing', 'true'], 1, /no container nothing/)
  })
  await t.test('exec: signals go to the command', async () => {
    const interrupted = cli.start(t, 'exec', 'boat', '/probe', 'trap', '2', '5')
    await interrupted.prints(/ready/)
    interrupted.signal('SIGINT')
    assert.equal(await interrupted.end(), 5)
  })
  await t.test('exec -d: the command goes on when its launcher has ended', async () => {
    const background = 'echo $$ $PPID > /tmp/new; mv /tmp/new /pids; exec sleep 1000'
    assert.equal(await cli.ok('exec', '-d', 'boat', 'sh', '-c', background), '')
    const script = 'until [ -e /pids ]; do sleep 0.02; done; read pid parent < /pids; kill -0 $pid && echo $parent'
    assert.equal(await cli.ok('exec', 'boat', 'sh', '-c', script), '1\n')
  })
  await t.test('top and stats', async () => {
    const [titles = '', ...rows] = (await cli.ok('top', 'boat')).trimEnd().split('\n')
    assert.match(titles, /^UID +PID +PPID +C +STIME +TTY +TIME +CMD$/)
    assert.equal(rows.filter((row) => /sleep 1000$/.test(row)).length, 2)
    const [header = '', row = ''] = (await cli.ok('stats', '--no-stream')).split('\n')
    assert.match(header, /^CONTAINER ID +NAME +CPU % +MEM USAGE \/ LIMIT +MEM % +NET I\/O +BLOCK I\/O +PIDS$/)
    assert.match(row, /^[0-9a-f]{12} +boat +[\d.]+% +[\d.]+[KM]iB \/ [\d.]+[GT]iB +[\d.]+% +0B \/ 0B +.* \/ .* +2$/)
    await cli.fails(['top', 'boat', '-o', 'pid'], 1, /Options of ps are not supported/)
  })
  await t.test('cp: into, out of, owners, links, archives', async () => {
    await writeFile(join(cli.dir, 'file'), 'content\n')
    await chown(join(cli.dir, 'file'), 1000, 1001)
    await symlink('file', join(cli.dir, 'link'))
    await cli.ok('cp', '-a', 'file', 'boat:/srv/owned')
    await cli.ok('cp', '-L', 'link', 'boat:/srv')
    await cli.ok('cp', 'boat:/srv/.', 'out')
    assert.equal(await readFile(join(cli.dir, 'out/link'), 'utf8'), 'content\n')
    assert.equal((await lstat(join(cli.dir, 'out/link'))).isFile(), true)
    assert.equal((await stat(join(cli.dir, 'out/owned'))).uid, process.getuid?.())
    await cli.ok('cp', '-aL', 'boat:/absolute-link', 'back')
    const { uid, gid } = await stat(join(cli.dir, 'back/owned'))
    assert.deepEqual([uid, gid], [1000, 1001])
    const piped = '"$@" cp boat:/srv/sub - | "$@" cp - boat:/home'
    const both = await runChild('sh', ['-ec', piped, 'sh', ...cli.words()], { cwd: cli.dir, env: cli.env })
    assert.equal(both.exitCode, 0, both.stderr)
    await cli.fails(['cp', 'boat:/nothing', 'x'], 1, /ENOENT/)
  })
  await t.test('diff, commit, export', async () => {
    const changes = 'C /home\nA /home/sub\nA /home/sub/deep\nA /pids\nC /srv\nA /srv/link\nA /srv/owned\n'
    assert.equal(await cli.ok('diff', 'boat'), changes)
    const id = await cli.ok('commit', '-m', 'with files', '-c', 'CMD ["cat", "/srv/link"]', 'boat', 'my/boat:2')
    assert.match(id, /^sha256:[0-9a-f]{64}\n$/)
    assert.equal(await cli.ok('run', 'my/boat:2'), 'content\n')
    await cli.ok('export', '-o', 'all.tar', 'boat')
    const listed = await runChild('tar', ['-tf', join(cli.dir, 'all.tar')])
    assert.match(listed.stdout, /^(\.\/)?srv\/owned$/m)
  })
})
