// SPDX-License-Identifier: MIT
// Registries by the command line: credentials, search, a server, and pulls that are interrupted.
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startDockerRegistry, USER } from '../helpers/docker-registry.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { needs } from '../helpers/needs.ts'
import { until } from '../helpers/until.ts'
import { CommandLine } from './cli-fixtures.ts'
import { packTar, run } from './image-fixtures.ts'
import { needsRegistry, seedLarge } from './pull-fixtures.ts'

checkLeftovers()

async function importEmpty(cli: CommandLine, ...names: string[]): Promise<void> {
  await mkdir(join(cli.dir, 'empty'))
  const tar = await packTar(join(cli.dir, 'empty'), join(cli.dir, 'empty.tar'))
  for (const name of names) await cli.ok('import', '-q', tar, name)
}

test('logs in and out, and the credentials are used', async (t) => {
  if (!needs(t, 'root', 'command:docker-registry')) return
  const cli = await CommandLine.open(t)
  const { host } = await startDockerRegistry(t, { auth: 'htpasswd' })
  const name = `${host}/private:1`
  await importEmpty(cli, name)
  await cli.fails(['push', name], 1, /^wherry: .*(401|credentials)/)
  await cli.fails(['login', host], 1, /no terminal to ask/)
  const login = (password: string) =>
    cli.run(['login', '-u', USER.username, '--password-stdin', host], { input: `${password}\n` })
  const refused = await login('wrong')
  assert.equal(refused.exitCode, 1)
  assert.doesNotMatch(refused.stderr, /wrong/)
  assert.deepEqual(await login(USER.password), {
    exitCode: 0,
    killSignal: null,
    stdout: 'Login Succeeded\n',
    stderr: '',
  })
  const stored = JSON.parse(await readFile(join(cli.dir, 'docker/config.json'), 'utf8')) as { auths: object }
  assert.deepEqual(Object.keys(stored.auths), [host])
  await cli.ok('push', '-q', name)
  assert.equal(await cli.ok('logout', host), `Removing login credentials for ${host}\n`)
  assert.equal(await cli.ok('logout', host), `Not logged in to ${host}\n`)
  await cli.fails(['pull', name], 1, /./)
  await cli.ok('pull', '-q', '--creds', `${USER.username}:${USER.password}`, name)
})

test('searches, by a part of the name', async (t) => {
  if (!needs(t, 'root', 'command:docker-registry')) return
  const cli = await CommandLine.open(t)
  const { host } = await startDockerRegistry(t)
  const names = ['one/app:1', 'two/app:1', 'two/app:2', 'other:1'].map((name) => `${host}/${name}`)
  await importEmpty(cli, ...names)
  for (const name of names) await cli.ok('push', '-q', name)
  const table = await cli.ok('search', `${host}/app`)
  assert.match(table, /^NAME +DESCRIPTION +STARS +OFFICIAL\n/)
  assert.deepEqual(table.match(/^127\S+/gm), [`${host}/one/app`, `${host}/two/app`])
  const found = await cli.json<{ name: string }[]>('search', '--json', '--limit', '1', `${host}/app`)
  assert.deepEqual(
    found.map(({ name }) => name),
    [`${host}/one/app`],
  )
  const tags = await cli.ok('search', '--list-tags', `${host}/two/app`)
  assert.deepEqual(tags.match(/\d$/gm)?.sort(), ['1', '2'])
  assert.match(tags, /^NAME +TAG\n/)
  await cli.fails(['search', `${host}/`], 1, /nothing to look for/)
})

test('serves a registry until it is told to end', async (t) => {
  if (!needs(t, 'root', 'command:skopeo')) return
  const cli = await CommandLine.open(t)
  await writeFile(join(cli.dir, 'users'), 'ada:open sesame\n')
  const server = cli.startBare(t, 'serve-registry', '--port', '0', '--root', 'registry', '--users-file', 'users')
  const [, host = ''] = await server.prints(/^Registry at http:\/\/(127\.0\.0\.1:\d+), kept in \/.*registry\n/)
  const name = `${host}/app:1`
  await importEmpty(cli, name)
  await cli.fails(['push', name], 1, /./)
  const creds = ['--creds', 'ada:open sesame']
  await cli.ok('push', '-q', ...creds, name)
  await cli.ok('rmi', name)
  await cli.ok('pull', '-q', ...creds, name)
  await run('skopeo', 'inspect', '--tls-verify=false', '--creds', 'ada:open sesame', `docker://${name}`)
  server.signal('SIGTERM')
  assert.equal(await server.end(), 0)
  assert.equal(server.stderr, '')

  const cache = cli.startBare(t, 'serve-registry', '--port', '0', '--root', 'registry', '--read-only', '--json')
  await cache.prints(/\}\n$/)
  const { address } = JSON.parse(cache.stdout) as { address: string }
  await cli.ok('pull', '-q', `${address}/app:1`)
  await cli.fails(['push', `${address}/app:1`], 1, /./)
  const taken = await cli.bare(['serve-registry', '--port', address.split(':')[1] ?? ''])
  assert.equal(taken.exitCode, 1)
  assert.match(taken.stderr, /^wherry: .*EADDRINUSE.*\nHint: choose another port/)
  const unread = await cli.bare(['serve-registry', '--port', '0', '--users-file', 'nowhere'])
  assert.equal(unread.exitCode, 125)
  assert.match(unread.stderr, /^wherry: Cannot read nowhere, which --users-file names: ENOENT \(no such file/)
  cache.signal('SIGINT')
  assert.equal(await cache.end(), 0)
})

test('an interrupted pull leaves nothing, and the next one goes on', async (t) => {
  if (!needsRegistry(t) || !needs(t, 'root')) return
  const cli = await CommandLine.open(t)
  const { proxy, reference, large } = await seedLarge(t, [2_000_000])
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    proxy.reset()
    proxy.inject({ path: new RegExp(`blobs/${large}`), fault: { kind: 'stall', afterBytes: 1_000_000 } })
    const pull = cli.start(t, 'pull', reference)
    await until(
      () => proxy.requests.some(({ sentBytes }) => sentBytes >= 1_000_000),
      'half of the blob is sent',
      20_000,
    )
    pull.signal(name)
    assert.equal(await pull.end(), name === 'SIGINT' ? 130 : 143)
    assert.equal(pull.stdout, '')
    assert.doesNotMatch(pull.stderr, /wherry:|at /)
    assert.deepEqual(await cli.json('images', '--json'), [])
    assert.equal(await cli.ok('system', 'check'), 'Nothing is wrong.\n')
  }
  proxy.reset()
  await cli.ok('pull', '-q', reference)
})
