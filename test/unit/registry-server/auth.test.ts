// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, sign } from 'node:crypto'
import { test } from 'node:test'
import { InvalidOptionError } from '../../../lib/errors.ts'
import {
  normalizeServerOptions,
  type RegistryServerCredentials,
  type RegistryServerOptions,
} from '../../../lib/registry-server/options.ts'
import { makeAuthorizer, parseBasic } from '../../../lib/registry-server/passwords.ts'
import { Tokens } from '../../../lib/registry-server/token.ts'
import { parseScopes } from '../../../lib/registry-server/token-endpoint.ts'

const kPing = { repository: undefined, action: 'ping' } as const
const kRights = [{ type: 'repository', name: 'app', actions: ['pull'] }]

test('compares names and passwords', async () => {
  const users = { users: { me: 'secret', you: '' } }
  assert.equal(await ask(users, { username: 'me', password: 'secret' }), true)
  assert.equal(await ask(users, { username: 'you', password: '' }), true)
  assert.equal(await ask(users, { username: 'me', password: 'Secret' }), false)
  assert.equal(await ask(users, { username: 'constructor', password: '' }), false)
  assert.equal(await ask(users, undefined), false)
  const careless = (() => 'yes') as unknown as () => boolean
  assert.equal(await ask(careless, undefined), false)

  function ask(auth: RegistryServerOptions['auth'], who: RegistryServerCredentials | undefined): Promise<boolean> {
    const authorize = makeAuthorizer(auth)
    assert.ok(authorize !== undefined)
    return authorize(who, kPing)
  }
})

test('reads Basic headers', () => {
  const header = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
  assert.deepEqual(parseBasic(header('me:a:b')), { username: 'me', password: 'a:b' })
  for (const bad of [undefined, '', 'Basic', 'Basic !', 'Bearer x', header('no colon'), header(':')]) {
    assert.equal(parseBasic(bad), undefined, bad)
  }
})

test('takes its own tokens, and none that are changed, late, early or for others', () => {
  const tokens = new Tokens({ lifetimeSeconds: 60 })
  const { token } = tokens.issue('me', kRights)
  assert.deepEqual(tokens.check(token), kRights)
  const [head = '', body = '', signature = ''] = token.split('.')
  const none = Buffer.from('{"alg":"none"}').toString('base64url')
  for (const bad of [
    '',
    'a.b.c',
    `${head}.${body}.`,
    `${head}.${body}`,
    `${none}.${body}.`,
    `${head}.${none}.${signature}`,
  ]) {
    assert.equal(tokens.check(bad), undefined, bad)
  }
  assert.equal(tokens.check(token, Date.now() + 200_000), undefined)
  assert.equal(tokens.check(token, Date.now() - 200_000), undefined)
  assert.equal(new Tokens({}).check(token), undefined)
})

test('verifies foreign tokens by a public key, whatever algorithm they claim', () => {
  for (const [type, algorithm] of [
    ['rsa', 'RS256'],
    ['ec', 'ES256'],
  ] as const) {
    const { publicKey, privateKey } =
      type === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string
    const tokens = new Tokens({ realm: 'https://auth.test/', service: 'here', issuer: 'auth', key: pem })
    const make = (alg: string, aud: string) => {
      const claims = { iss: 'auth', aud, exp: Date.now() / 1000 + 60, access: kRights }
      const signed = [{ alg }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
      return {
        signed,
        token: `${signed}.${sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`,
      }
    }
    assert.deepEqual(tokens.check(make(algorithm, 'here').token), kRights)
    assert.equal(tokens.check(make(algorithm, 'elsewhere').token), undefined)
    // The public key must not serve as a secret.
    const { signed } = make('HS256', 'here')
    const forged = `${signed}.${createHmac('sha256', pem).update(signed).digest('base64url')}`
    assert.equal(tokens.check(forged), undefined)
  }
})

test('reads scopes', () => {
  assert.deepEqual(parseScopes(['repository:a/b:pull,push registry:catalog:*', 'nonsense', 'repository:../x:pull']), [
    { type: 'repository', name: 'a/b', actions: ['pull', 'push'] },
    { type: 'registry', name: 'catalog', actions: ['*'] },
  ])
})

test('refuses options that cannot work, and never repeats a secret', () => {
  const bad: [unknown, string][] = [
    [{ prot: 1 }, 'prot'],
    [{ port: 70_000 }, 'port'],
    [{ root: 'relative' }, 'root'],
    [{ auth: { username: 'a:b', password: 'topsecret' } }, 'auth.username'],
    [{ auth: { users: { me: 5 } } }, 'auth.users.password'],
    [{ tls: { cert: 'x' } }, 'tls.key'],
    [{ tokenAuth: { realm: 'https://a"b/' } }, 'tokenAuth.realm'],
    [{ tokenAuth: { realm: 'https://auth.test/' } }, 'tokenAuth.key'],
    [{ upstream: { host: 5 } }, 'upstream.host'],
    [{ onError: 'x' }, 'onError'],
  ]
  for (const [options, option] of bad) {
    assert.throws(
      () => normalizeServerOptions(options as RegistryServerOptions),
      (error: unknown) =>
        error instanceof InvalidOptionError && error.option === option && !error.message.includes('topsecret'),
      option,
    )
  }
})
