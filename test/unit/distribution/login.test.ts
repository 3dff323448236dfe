// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env } from 'node:process'
import { type TestContext, test } from 'node:test'
import { removeCredentials, saveCredentials } from '../../../lib/distribution/login.ts'
import { loadNative } from '../../../lib/launcher/native.ts'
import { runModule } from '../../helpers/run-child.ts'

/** A directory for Docker's config.json, which is where logins go while the test runs. */
async function useDockerConfig(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'wherry-login-'))
  const before = env.DOCKER_CONFIG
  env.DOCKER_CONFIG = dir
  t.after(async () => {
    if (before === undefined) delete env.DOCKER_CONFIG
    else env.DOCKER_CONFIG = before
    await rm(dir, { recursive: true, force: true })
  })
  return dir
}

async function entriesOf(dir: string): Promise<string[]> {
  const { auths } = JSON.parse(await readFile(join(dir, 'config.json'), 'utf8')) as { auths: Record<string, unknown> }
  return Object.keys(auths).sort()
}

const user = { username: 'ada', password: 'secret' }

test('logins to several registries at once are all kept, in one process and in several', async (t) => {
  const dir = await useDockerConfig(t)
  await writeFile(join(dir, 'config.json'), '{"detachKeys":"ctrl-x","auths":{"other":{}}}')
  const hosts = Array.from({ length: 8 }, (_, number) => `registry-${number}.test`)
  const [login, native] = ['distribution/login.js', 'launcher/native.js'].map((name) =>
    JSON.stringify(new URL(`../../../lib/${name}`, import.meta.url).href),
  )
  const source = (names: readonly string[]): string => `
    import { saveCredentials } from ${login}
    import { loadNative } from ${native}
    const hosts = ${JSON.stringify(names)}
    await Promise.all(hosts.map((host) => saveCredentials(loadNative(), host, ${JSON.stringify(user)})))`
  const children = ['a', 'b', 'c'].map((name) => hosts.map((host) => `${name}.${host}`))
  const results = await Promise.all([
    ...children.map((names) => runModule(source(names))),
    ...hosts.map((host) => saveCredentials(loadNative(), host, user)),
  ])
  for (const result of results) if (result !== undefined) assert.equal(result.exitCode, 0, result.stderr)
  assert.deepEqual(await entriesOf(dir), ['other', ...hosts, ...children.flat()].sort())
  assert.equal(JSON.parse(await readFile(join(dir, 'config.json'), 'utf8')).detachKeys, 'ctrl-x')
  assert.deepEqual(await readdir(dir), ['config.json'])
  await Promise.all(children.flat().map((host) => removeCredentials(loadNative(), host)))
  assert.deepEqual(await entriesOf(dir), ['other', ...hosts].sort())
  assert.deepEqual(await readdir(dir), ['config.json'])
})
