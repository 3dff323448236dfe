import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { addressKind, credentialServer, isLoopbackHost, parseHost } from '../../../lib/distribution/hosts.ts'
import { checkProxy, proxyFor } from '../../../lib/distribution/proxy.ts'
import { RegistryClient } from '../../../lib/distribution/registry-client.ts'
import { InvalidOptionError } from '../../../lib/errors.ts'

test('reads hosts as they stand in references, and mirrors as URLs', () => {
  for (const name of ['docker.io', 'index.docker.io', 'registry-1.docker.io', 'Docker.IO']) {
    const { authority, name: known } = parseHost(name)
    assert.deepEqual([known, authority], ['docker.io', 'registry-1.docker.io'])
  }
  assert.deepEqual(parseHost('Localhost:5000'), {
    name: 'localhost:5000',
    authority: 'localhost:5000',
    hostname: 'localhost',
    prefix: '',
    scheme: undefined,
  })
  assert.deepEqual(parseHost('http://[::1]:5000/hub/cache/'), {
    name: '[::1]:5000',
    authority: '[::1]:5000',
    hostname: '::1',
    prefix: 'hub/cache',
    scheme: 'http:',
  })
  assert.equal(parseHost('https://m.test/v2/').prefix, '')
  for (const text of ['', 'a b', 'ftp://x', 'ada@host', 'https://a:b@host', 'host?x', 'host:99999', 'a/b?c', '[::1']) {
    assert.throws(() => parseHost(text), InvalidOptionError, text)
  }
  assert.equal(credentialServer('docker.io'), 'https://index.docker.io/v1/')
  assert.equal(credentialServer('quay.io'), 'quay.io')
})

test('tells this machine, its link and metadata services from other addresses', () => {
  const kinds = {
    loopback: ['127.0.0.1', '127.9.9.9', '0.0.0.0', '::1', '::', '::ffff:127.0.0.1'],
    'link-local': [
      '169.254.169.254',
      'fe80::1',
      'fe80::1%eth0',
      'febf::1',
      '::ffff:169.254.1.1',
      'fd00:ec2::254',
      '100.100.100.200',
    ],
    other: ['10.0.0.1', '8.8.8.8', '2001:db8::1', 'fec0::1'],
  }
  for (const [kind, addresses] of Object.entries(kinds)) {
    for (const address of addresses) assert.equal(addressKind(address), kind, address)
  }
  for (const name of ['localhost', 'a.localhost', '127.0.0.1', '::1']) assert.ok(isLoopbackHost(name), name)
  for (const name of ['localhost.test', '10.0.0.1', 'xlocalhost']) assert.ok(!isLoopbackHost(name), name)
})

test('chooses the proxy by the environment', () => {
  const env = {
    HTTPS_PROXY: 'http://s:1',
    http_proxy: 'p:2',
    NO_PROXY: 'a.test, .b.test *.c.test,d.test:8443,10.0.0.1',
  }
  const of = (url: string): string | undefined => proxyFor(new URL(url), env)
  assert.equal(of('https://x.test/'), 'http://s:1')
  assert.equal(of('http://x.test/'), 'http://p:2')
  for (const host of [
    'a.test',
    'x.a.test',
    'x.b.test',
    'y.c.test',
    '10.0.0.1',
    'localhost',
    '127.0.0.1:5000',
    '[::1]:5000',
  ]) {
    assert.equal(of(`https://${host}/`), undefined, host)
  }
  assert.equal(of('https://xa.test/'), 'http://s:1')
  assert.equal(of('https://d.test/'), 'http://s:1')
  assert.equal(of('https://d.test:8443/'), undefined)
  assert.equal(proxyFor(new URL('https://x.test'), { HTTP_PROXY: 'http://p' }), undefined)
  assert.equal(proxyFor(new URL('https://x.test'), { ...env, NO_PROXY: '*' }), undefined)
  assert.throws(
    () => checkProxy('proxy', 'ftp://user:pw@x'),
    (error) => {
      return error instanceof InvalidOptionError && !error.message.includes('pw')
    },
  )
})

test('excepts subnets and IPv6 addresses from the proxy', () => {
  const env = { HTTPS_PROXY: 'http://s:1', NO_PROXY: '10.1.0.0/16,fd00::5,fd01::/16,[fd02::1]:8443,10.9.9.9/33,x/8' }
  const of = (host: string): string | undefined => proxyFor(new URL(`https://${host}/`), env)
  for (const host of ['10.1.2.3', '[fd00::5]', '[fd00::5]:5000', '[fd01:0:0::9]', '[fd02::1]:8443']) {
    assert.equal(of(host), undefined, host)
  }
  for (const host of ['10.2.0.1', '10.9.9.9', '[fd00::6]', '[fd02::1]', 'x.test', '10.1.2.3.test']) {
    assert.equal(of(host), 'http://s:1', host)
  }
})

test('names the variable whose proxy is no URL, without the password in it', async (t) => {
  for (const value of ['http://ada:pw-of-ada@bad host', 'ftp://ada:pw-of-ada@p', 'http://ada:pw-of-ada%zz@p']) {
    assert.throws(
      () => proxyFor(new URL('https://x.test'), { HTTPS_PROXY: value }),
      (error) => error instanceof InvalidOptionError && error.option === 'HTTPS_PROXY',
    )
  }
  const old = process.env.https_proxy
  t.after(() => {
    if (old === undefined) delete process.env.https_proxy
    else process.env.https_proxy = old
  })
  process.env.https_proxy = 'http://ada:pw-of-ada@bad host'
  const client = new RegistryClient('registry.test', { auth: 'anonymous' })
  t.after(() => client.close())
  await assert.rejects(client.ping(), (error) => {
    assert.ok(error instanceof InvalidOptionError && error.option === 'https_proxy', String(error))
    assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes('pw-of-ada'))
    return true
  })
})
