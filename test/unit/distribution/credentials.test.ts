import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  dockerConfigPath,
  lookUp,
  podmanAuthPaths,
  readCredentialFile,
  sameServer,
} from '../../../lib/distribution/credential-files.ts'
import { checkAuth } from '../../../lib/distribution/credentials.ts'
import { InvalidOptionError, WherryError } from '../../../lib/errors.ts'

const entry = (user: string): { auth: string } => ({ auth: Buffer.from(`${user}:pw`).toString('base64') })
const found = (user: string): object => ({ auth: { username: user, password: 'pw' } })

test('finds the files of Docker and podman', () => {
  assert.equal(dockerConfigPath({ HOME: '/h' }), '/h/.docker/config.json')
  assert.equal(dockerConfigPath({ HOME: '/h', DOCKER_CONFIG: '/d' }), '/d/config.json')
  assert.deepEqual(podmanAuthPaths({ REGISTRY_AUTH_FILE: '/f', HOME: '/h' }), ['/f'])
  assert.deepEqual(podmanAuthPaths({ HOME: '/h', XDG_RUNTIME_DIR: '/r' }), [
    '/r/containers/auth.json',
    '/h/.config/containers/auth.json',
  ])
})

test('takes the entry of the longest namespace, and old ways to write a host', () => {
  const auths = {
    'r.test': entry('all'),
    'r.test/team': entry('team'),
    'r.test/team/app': entry('app'),
    'https://old.test/v1/': entry('old'),
  }
  assert.deepEqual(lookUp({ auths }, 'r.test', 'team/app'), found('app'))
  assert.deepEqual(lookUp({ auths }, 'r.test', 'team/app/sub'), found('app'))
  assert.deepEqual(lookUp({ auths }, 'r.test', 'team/other'), found('team'))
  assert.deepEqual(lookUp({ auths }, 'r.test', 'teams'), found('all'))
  assert.deepEqual(lookUp({ auths }, 'r.test', undefined), found('all'))
  assert.deepEqual(lookUp({ auths }, 'old.test', 'a'), found('old'))
  assert.equal(lookUp({ auths }, 'r.test:5000', 'team/app'), undefined)
  const hub = { auths: { 'https://index.docker.io/v1/': entry('hub') } }
  assert.deepEqual(lookUp(hub, 'docker.io', 'library/alpine'), found('hub'))
  assert.ok(sameServer('https://index.docker.io/v1/', 'docker.io'))
  assert.ok(!sameServer('r.test/team', 'r.test'))
})

test('reads all kinds of entries, and skips those that say nothing', () => {
  const of = (auth: Record<string, string>): unknown => lookUp({ auths: { r: auth } }, 'r', undefined)
  assert.deepEqual(of({ auth: 'eDp5Onp6', identitytoken: 't' }), { auth: { identityToken: 't' } })
  assert.deepEqual(of({ registrytoken: 't' }), { auth: { registryToken: 't' } })
  assert.deepEqual(of({ username: 'u', password: '' }), { auth: { username: 'u', password: '' } })
  assert.deepEqual(of({ auth: Buffer.from('u:p:q').toString('base64') }), { auth: { username: 'u', password: 'p:q' } })
  for (const auth of [{}, { auth: '' }, { auth: '!!' }, { username: 'u' }]) assert.equal(of(auth), undefined)
})

test('prefers a helper: for the host, then for all', () => {
  const file = {
    auths: { r: entry('u') },
    credHelpers: { r: 'one', 'docker.io': 'hub', 'r2/ns': 'ns' },
    credsStore: 'all',
  }
  assert.deepEqual(lookUp(file, 'r', 'a'), { helper: 'one', server: 'r' })
  assert.deepEqual(lookUp(file, 'docker.io', 'a'), { helper: 'hub', server: 'https://index.docker.io/v1/' })
  assert.deepEqual(lookUp(file, 'r2', 'ns/a'), { helper: 'ns', server: 'r2/ns' })
  assert.deepEqual(lookUp(file, 'r3', 'a'), { helper: 'all', server: 'r3' })
})

test('a file that cannot be understood is an error that does not repeat it', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'wherry-auth-'))
  t.after(() => rm(dir, { recursive: true }))
  const path = join(dir, 'config.json')
  assert.equal(await readCredentialFile(path), undefined)
  await writeFile(path, ' ')
  assert.deepEqual(await readCredentialFile(path), {})
  await writeFile(path, '{"auths": {"r": "geheim"')
  await assert.rejects(readCredentialFile(path), (error) => {
    return error instanceof WherryError && error.code === 'ERR_CREDENTIALS' && !error.message.includes('geheim')
  })
  await assert.rejects(readCredentialFile(dir), /no regular file/)
})

test('checks what a caller passes as auth without repeating it', () => {
  for (const auth of ['anonymous', { username: 'u', password: '' }, { identityToken: 't' }, { registryToken: 't' }]) {
    assert.equal(checkAuth('auth', auth), auth)
  }
  for (const auth of [
    null,
    'secret',
    {},
    { username: 'u' },
    { username: 'a:b', password: 'secret' },
    { registryToken: 'secret\r\nx: y' },
  ]) {
    assert.throws(
      () => checkAuth('auth', auth),
      (error) => error instanceof InvalidOptionError && !error.message.includes('secret'),
    )
  }
})
