// SPDX-License-Identifier: MIT
// The command line on a terminal.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startDockerRegistry, USER } from '../helpers/docker-registry.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { needs } from '../helpers/needs.ts'
import { PtySession } from '../helpers/pty.ts'
import { CommandLine, openForContainers } from './cli-fixtures.ts'
import { needsRegistry, seedLarge } from './pull-fixtures.ts'
import { needsContainers } from './rootfs.ts'

checkLeftovers()

function onTerminal(t: TestContext, cli: CommandLine, ...args: string[]): PtySession {
  return PtySession.start(t, cli.words(...args), cli.env)
}

/** Types what a shell on a terminal has to do: a new size, Ctrl-C that ends a program and not the shell, and an exit with 7. */
async function assertShell(session: PtySession): Promise<void> {
  session.resize(40, 132)
  session.type('until [ "$(stty size)" = "40 132" ]; do sleep 0.05; done; echo resized\n')
  await session.shows(/\nresized/)
  session.type('echo sl""eeping; sleep 100; echo never\n')
  await session.shows(/\nsleeping/)
  session.type('\u0003')
  await session.shows(/\^C/)
  session.type('exit 7\n')
}

test('run -it is a shell as if it were here: typing, size, Ctrl-C, exit code', async (t) => {
  if (!needsContainers(t) || !needs(t, 'command:python3')) return
  const cli = await CommandLine.open(t)
  await cli.importTestImage()
  // The shell around it tells that the terminal is as it was.
  const script = '"$@"; echo "code $?"; stty -a'
  const session = PtySession.start(t, ['sh', '-c', script, 'sh', ...cli.words('run', '-it', 'test', 'sh')], cli.env)
  await session.shows(/\/ # /)
  session.type('stty size; tty\n')
  await session.shows(/24 80\r+\n\/dev\/pts\/0/)
  // Output is the container's terminal's to process, once.
  session.type('echo x\n')
  await session.shows(/\nx\r\n/)
  await assertShell(session)
  assert.equal(await session.end(), 0)
  assert.match(session.output, /code 7\r\n/)
  assert.doesNotMatch(session.output, /\nnever/)
  assert.match(session.output, /[^-]opost/)
  assert.match(session.output, /[^-]icanon/)
  assert.match(session.output, /[^-]echo /)
})

test('exec -it is a shell in a container that runs', async (t) => {
  if (!needsContainers(t) || !needs(t, 'command:python3')) return
  const cli = await openForContainers(t)
  await cli.ok('run', '-d', '--name', 'boat', 'test', 'sleep', '1000')
  const session = onTerminal(t, cli, 'exec', '-it', 'boat', 'sh')
  await session.shows(/\/ # /)
  session.type('stty size; tty\n')
  await session.shows(/24 80\r+\n\/dev\/pts\/\d/)
  await assertShell(session)
  assert.equal(await session.end(), 7)
  assert.doesNotMatch(session.output, /\nnever/)
})

test('run -dit, attach, Ctrl-P Ctrl-Q, and start -ai', async (t) => {
  if (!needsContainers(t) || !needs(t, 'command:python3')) return
  const cli = await openForContainers(t)
  await cli.ok('run', '-dit', '--name', 'boat', 'test', 'sh')
  const session = onTerminal(t, cli, 'attach', 'boat')
  session.type('stty size; echo "he"re\n')
  await session.shows(/24 80\r\nhere\r\n/)
  session.type('\u0010\u0011')
  assert.equal(await session.end(), 0)
  assert.match(session.output, /the container goes on/)
  await cli.ok('kill', 'boat')
  await cli.ok('wait', 'boat')
  const again = onTerminal(t, cli, 'start', '-ai', 'boat')
  again.type('echo "ag"ain; exit 6\n')
  assert.equal(await again.end(), 6)
  assert.match(again.output, /again\r\n/)
})

test('a pull draws bars', async (t) => {
  if (!needsRegistry(t) || !needs(t, 'root', 'command:python3')) return
  const cli = await CommandLine.open(t)
  const { proxy, reference, large } = await seedLarge(t, [2_000_000])
  let letGo: () => void = () => undefined
  const until = new Promise<void>((resolve) => {
    letGo = resolve
  })
  proxy.inject({ path: new RegExp(`blobs/${large}`), fault: { kind: 'hold', afterBytes: 1_000_000, until } })
  const session = onTerminal(t, cli, 'pull', reference)
  const label = large.slice('sha256:'.length, 'sha256:'.length + 12)
  await session.shows(new RegExp(`${label}: Downloading +\\[=+> +\\] [\\d.]+[kM]B/2MB`))
  letGo()
  assert.equal(await session.end(), 0)
  assert.match(session.output, new RegExp(`${label}: Pull complete\r\n`))
  assert.match(session.output, /Status: Downloaded newer image/)
  assert.ok(session.output.lastIndexOf('[?25h') > session.output.lastIndexOf('[?25l'), 'the cursor is shown again')
})

test('asks for user and password, and does not show the password', async (t) => {
  if (!needs(t, 'root', 'command:docker-registry', 'command:python3')) return
  const cli = await CommandLine.open(t)
  const { host } = await startDockerRegistry(t, { auth: 'htpasswd' })
  const session = onTerminal(t, cli, 'login', host)
  await session.shows(/Username: /)
  session.type(`${USER.username}\r`)
  await session.shows(/Password: /)
  session.type(`${USER.password}\r`)
  assert.equal(await session.end(), 0)
  assert.match(session.output, /Login Succeeded/)
  assert.doesNotMatch(session.output, new RegExp(USER.password))
  const given = onTerminal(t, cli, 'login', '-u', 'ada', host)
  await given.shows(/Password: /)
  given.type('\u0003')
  assert.equal(await given.end(), 130)
})

test('asks before it prunes, and writes no archive to a terminal', async (t) => {
  if (!needsContainers(t) || !needs(t, 'command:python3')) return
  const cli = await CommandLine.open(t)
  await cli.importTestImage()
  const refused = onTerminal(t, cli, 'image', 'prune', '-a')
  await refused.shows(/\[y\/N\] /)
  refused.type('\r')
  assert.equal(await refused.end(), 1)
  assert.match(refused.output, /Nothing was removed/)
  const agreed = onTerminal(t, cli, 'image', 'prune', '-a')
  await agreed.shows(/\[y\/N\] /)
  agreed.type('y\r')
  assert.equal(await agreed.end(), 0)
  assert.match(agreed.output, /Untagged: test:latest/)
  const saved = onTerminal(t, cli, 'save', 'test')
  assert.equal(await saved.end(), 1)
  assert.match(saved.output, /not for terminals/)
  const loaded = onTerminal(t, cli, 'load')
  assert.equal(await loaded.end(), 1)
  assert.match(loaded.output, /no archive on standard input/)
})
