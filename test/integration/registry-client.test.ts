// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { RegistryClient } from '../../lib/distribution/registry-client.ts'
import { NotFoundError, RegistryAuthError, RegistryError } from '../../lib/errors.ts'
import { digestOf } from '../../lib/oci/digest.ts'
import { kMediaType } from '../../lib/oci/image-config.ts'
import { Registry } from '../../lib/registry.ts'
import { startDockerHub } from '../helpers/docker-hub.ts'
import { startDockerRegistry, USER } from '../helpers/docker-registry.ts'
import { startFaultyProxy } from '../helpers/faulty-proxy.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { listen } from '../helpers/listen.ts'
import { needs } from '../helpers/needs.ts'
import { collect, makeBlob, pushTestImage } from '../helpers/remote-image.ts'
import { runOk } from '../helpers/run-child.ts'

checkLeftovers()

function open(
  t: TestContext,
  host: string,
  options: ConstructorParameters<typeof RegistryClient>[1] = {},
): RegistryClient {
  const client = new RegistryClient(host, { retries: 1, ...options })
  t.after(() => client.close())
  return client
}

/** A home without credentials; helpers are put into its `bin`. */
async function useHome(t: TestContext): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'wherry-home-'))
  const names = ['HOME', 'PATH', 'DOCKER_CONFIG', 'XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'REGISTRY_AUTH_FILE']
  const before = names.map((name) => [name, process.env[name]] as const)
  for (const name of names.slice(2)) delete process.env[name]
  await mkdir(join(home, 'bin'))
  Object.assign(process.env, {
    HOME: home,
    XDG_RUNTIME_DIR: home,
    PATH: `${join(home, 'bin')}${delimiter}${process.env.PATH}`,
  })
  t.after(async () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    await rm(home, { recursive: true, force: true })
  })
  return home
}

test('pushes, lists, mounts, finds referrers and deletes on a plain registry', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  await useHome(t)
  const { host } = await startDockerRegistry(t)
  const client = open(t, host)
  const repository = client.repository('demo/app')
  const { digest, manifest, layer } = await pushTestImage(repository, 'v1')
  assert.equal(await repository.pushBlob(layer.descriptor, layer.open), 'exists')
  assert.equal(await client.repository('demo/other').mountBlob(layer.descriptor.digest, 'demo/app'), true)
  assert.equal(await client.repository('demo/other').mountBlob(digestOf('absent'), 'demo/app'), false)
  const mounted = { mountFrom: 'demo/app' }
  assert.equal(await client.repository('demo/third').pushBlob(layer.descriptor, layer.open, mounted), 'mounted')
  const empty = makeBlob(0)
  assert.equal(await repository.pushBlob(empty.descriptor, empty.open), 'uploaded')
  assert.deepEqual(await repository.headManifest('v1'), {
    digest,
    mediaType: kMediaType.manifest,
    sizeBytes: manifest.length,
  })
  assert.equal(await repository.headManifest('absent'), undefined)
  await repository.pushManifest('v2', manifest, kMediaType.manifest)
  assert.deepEqual((await collectNames(repository.tags())).sort(), ['v1', 'v2'])
  assert.deepEqual(await collectNames(client.catalog()), ['demo/app', 'demo/other', 'demo/third'])
  assert.deepEqual(
    (await client.search('THIRD')).map(({ name }) => name),
    ['demo/third'],
  )

  const subject = { mediaType: kMediaType.manifest, digest, size: manifest.length }
  const signature = Buffer.from(JSON.stringify({ ...JSON.parse(manifest.toString()), artifactType: 'a/b', subject }))
  const signed = await repository.pushManifest(digestOf(signature), signature, kMediaType.manifest)
  assert.deepEqual(
    (await repository.referrers(digest)).map((each) => [each.digest, each.artifactType]),
    [[signed, 'a/b']],
  )
  assert.deepEqual(await repository.referrers(digest, { artifactType: 'c/d' }), [])
  assert.deepEqual(await repository.referrers(digestOf('x')), [])

  await repository.deleteManifest(digest)
  await repository.deleteBlob(layer.descriptor.digest)
  assert.equal(await repository.hasBlob(layer.descriptor.digest), false)
  await assert.rejects(repository.deleteBlob(layer.descriptor.digest), NotFoundError)
  await assert.rejects(repository.manifest('v1'), (error) => {
    assert.ok(error instanceof NotFoundError && error.cause instanceof RegistryError)
    assert.match(
      error.message,
      /^Tag v1 of 127\.0\.0\.1:\d+\/demo\/app does not exist: GET http:.* answered 404 \(MANIFEST_UNKNOWN/,
    )
    assert.equal(error.cause.diagnostics[0]?.code, 'MANIFEST_UNKNOWN')
    return true
  })
})

test('lists tags over several pages, and refuses pages without end and elsewhere', async (t) => {
  const pages = new Map([
    ['/v2/a/tags/list?n=1000', { tags: ['1', '2'], link: '</v2/a/tags/list?last=2>; rel="next"' }],
    ['/v2/a/tags/list?last=2', { tags: null, link: '<list?last=3>; rel=next' }],
    ['/v2/a/tags/list?last=3', { tags: ['3'], link: undefined }],
    ['/v2/b/tags/list?n=1000', { tags: ['1'], link: '</v2/b/tags/list?n=1000>; rel="next"' }],
    ['/v2/c/tags/list?n=1000', { tags: ['1'], link: '<http://127.0.0.2/v2/>; rel="next"' }],
  ])
  const server = createServer((request, response) => {
    const page = pages.get(request.url ?? '')
    if (page?.link !== undefined) response.setHeader('link', page.link)
    response.end(JSON.stringify({ tags: page?.tags }))
  })
  const client = open(t, `http://${await listen(t, server)}`)
  assert.deepEqual(await collectNames(client.repository('a').tags()), ['1', '2', '3'])
  await assert.rejects(collectNames(client.repository('b').tags()), /pages without end/)
  await assert.rejects(collectNames(client.repository('c').tags()), /another host/)
})

test('Basic: the password is wanted, refused, taken, and kept by login', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const home = await useHome(t)
  const { host } = await startDockerRegistry(t, { auth: 'htpasswd' })
  await assert.rejects(open(t, host).ping(), (error) => {
    assert.ok(error instanceof RegistryAuthError)
    assert.equal(error.status, 401)
    assert.match(error.hint ?? '', /login/)
    return true
  })
  await assert.rejects(open(t, host, { auth: { ...USER, password: 'wrong' } }).ping(), /credentials were refused/)
  await mkdir(join(home, '.docker'))
  await writeFile(
    join(home, '.docker/config.json'),
    JSON.stringify({ auths: { other: { email: 'e' } }, detachKeys: 'ctrl-x' }),
    {
      mode: 0o640,
    },
  )
  const registry = new Registry(host)
  t.after(() => registry.close())
  await assert.rejects(registry.login({ ...USER, password: 'wrong' }), RegistryAuthError)
  await registry.login(USER)
  const config = JSON.parse(await readFile(join(home, '.docker/config.json'), 'utf8')) as {
    auths: Record<string, unknown>
  }
  assert.deepEqual(Object.keys(config), ['auths', 'detachKeys'])
  assert.deepEqual(Object.keys(config.auths), ['other', host])
  assert.deepEqual(config.auths.other, { email: 'e' })
  await registry.ping()
  const { digest } = await pushTestImage(open(t, host).repository('demo/app'), 'v1')
  assert.equal((await registry.resolve('demo/app:v1')).reference, `${host}/demo/app@${digest}`)
  await t.test('skopeo goes by it', async (t) => {
    if (!needs(t, 'command:skopeo')) return
    const authfile = join(home, '.docker/config.json')
    const inspected = await runOk('skopeo', [
      'inspect',
      '--raw',
      '--tls-verify=false',
      '--authfile',
      authfile,
      `docker://${host}/demo/app:v1`,
    ])
    assert.equal(digestOf(inspected), digest)
  })
  assert.equal(await registry.logout(), true)
  assert.equal(await registry.logout(), false)
  await assert.rejects(open(t, host).ping(), RegistryAuthError)
})

test('tokens: by scope, anonymous, password, identity token; podman and helpers are asked', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  const home = await useHome(t)
  const { host, tokenServer } = await startDockerRegistry(t, { auth: 'token' })
  assert.ok(tokenServer !== undefined)
  const client = open(t, host, { auth: USER })
  await pushTestImage(client.repository('public/app'), 'v1')
  await pushTestImage(client.repository('secret/app'), 'v1')
  const asked = tokenServer.requests.map(({ scopes }) => scopes.join(' '))
  assert.deepEqual(asked, ['repository:public/app:pull,push', 'repository:secret/app:pull,push'])
  assert.equal(await client.repository('new/app').mountBlob(makeBlob(300_000).descriptor.digest, 'public/app'), true)
  assert.deepEqual(tokenServer.requests.at(-1)?.scopes, ['repository:new/app:pull,push', 'repository:public/app:pull'])
  assert.deepEqual(await collectNames(client.catalog()), ['new/app', 'public/app', 'secret/app'])

  const nobody = open(t, host)
  await nobody.repository('public/app').manifest('v1')
  await assert.rejects(nobody.repository('secret/app').manifest('v1'), (error) => {
    assert.ok(error instanceof RegistryAuthError)
    assert.match(error.hint ?? '', /^log in/)
    return true
  })
  await assert.rejects(open(t, host, { auth: { ...USER, password: 'no' } }).ping(), /incorrect username or password/)
  const { identityToken } = tokenServer
  await open(t, host, { auth: { identityToken } }).repository('secret/app').manifest('v1')
  assert.equal(tokenServer.requests.at(-1)?.form?.get('grant_type'), 'refresh_token')

  await mkdir(join(home, 'containers'))
  const auth = Buffer.from(`${USER.username}:${USER.password}`).toString('base64')
  await writeFile(join(home, 'containers/auth.json'), JSON.stringify({ auths: { [`${host}/secret`]: { auth } } }))
  await open(t, host).repository('secret/app').manifest('v1')
  await rm(join(home, 'containers'), { recursive: true })

  await writeHelper(home, 'test')
  await mkdir(join(home, '.docker'))
  await writeFile(join(home, '.docker/config.json'), JSON.stringify({ credHelpers: { [host]: 'test' } }))
  await assert.rejects(open(t, host).repository('secret/app').manifest('v1'), RegistryAuthError)
  const registry = new Registry(host)
  t.after(() => registry.close())
  await registry.login(USER)
  assert.ok(!(await readFile(join(home, '.docker/config.json'), 'utf8')).includes(auth))
  await open(t, host).repository('secret/app').manifest('v1')
  await registry.logout()
  await assert.rejects(open(t, host).repository('secret/app').manifest('v1'), RegistryAuthError)
})

test('TLS with a private authority: refused, trusted by ca, taken unverified', async (t) => {
  if (!needs(t, 'command:docker-registry', 'command:openssl')) return
  await useHome(t)
  const { host, ca } = await startDockerRegistry(t, { tls: true })
  await assert.rejects(open(t, host, { insecure: false }).ping(), (error) => {
    assert.ok(error instanceof RegistryError)
    assert.match(error.hint ?? '', /certificate authority as ca/)
    return true
  })
  await open(t, host, { ca }).ping()
  await open(t, host, { insecure: true }).ping()
  // This machine is trusted, as Docker does.
  await open(t, host).ping()
  await assert.rejects(open(t, host.replace('127.0.0.1', 'http://127.0.0.1')).ping(), RegistryError)
})

test('mirrors are asked first, without the credentials of the registry, and the registry where they fail', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  await useHome(t)
  const registry = await startDockerRegistry(t, { auth: 'htpasswd' })
  const proxy = await startFaultyProxy(t, (await startDockerRegistry(t)).host)
  const plain = open(t, proxy.host)
  const image = await pushTestImage(plain.repository('demo/app'), 'v1')
  const client = open(t, registry.host, { auth: USER, mirrors: ['127.0.0.1:1', proxy.host] })
  const repository = client.repository('demo/app')
  proxy.reset()
  assert.equal((await repository.manifest('v1')).digest, image.digest)
  await assert.rejects(repository.manifest('v1', { direct: true }), NotFoundError)
  await pushTestImage(repository, 'v2')
  assert.equal((await repository.headManifest('v2'))?.digest, image.digest)
  proxy.inject({ method: 'GET', path: /blobs/, fault: { kind: 'cut', afterBytes: 100_000 } })
  assert.deepEqual(await collect(repository.blob(image.layer.descriptor)), image.layer.bytes)
  proxy.inject({ method: 'GET', path: /blobs/, fault: { kind: 'wrong-digest' } })
  assert.deepEqual(await repository.smallBlob(image.config.descriptor, 1000), image.config.bytes)
  assert.ok(proxy.requests.every(({ headers }) => headers.authorization === undefined))
})

test('the Registry class reads and verifies blobs, and names options that it does not know', async (t) => {
  if (!needs(t, 'command:docker-registry')) return
  await useHome(t)
  const { host } = await startDockerRegistry(t)
  await using registry = new Registry(host)
  const { digest, layer } = await pushTestImage(open(t, host).repository('demo/app'), 'v1')
  assert.deepEqual(await collect(registry.blob('demo/app', layer.descriptor.digest)), layer.bytes)
  await assert.rejects(collect(registry.blob('demo/app', digestOf('absent'))), NotFoundError)
  assert.equal((await registry.manifest(`${host}/demo/app:v1`)).digest, digest)
  assert.deepEqual(await registry.referrers('demo/app:v1'), [])
  await registry.delete(`demo/app@${digest}`)
  await assert.rejects(registry.resolve('demo/app:v1'), NotFoundError)
  assert.throws(() => new Registry(host, { mirrrors: [] } as object), /did you mean 'mirrors'/)
})

test('Docker Hub: its hosts, its library, its credentials, reached by a proxy', async (t) => {
  if (!needs(t, 'command:openssl')) return
  const home = await useHome(t)
  const hub = await startDockerHub(t, home)
  await mkdir(join(home, '.docker'))
  const auth = Buffer.from('ada:hub').toString('base64')
  await writeFile(
    join(home, '.docker/config.json'),
    JSON.stringify({ auths: { 'https://index.docker.io/v1/': { auth } } }),
  )
  const tunnel = createServer()
  const targets: string[] = []
  tunnel.on('connect', (request, socket) => {
    targets.push(request.url ?? '')
    const onward = connect(Number(hub.host.split(':')[1]), '127.0.0.1', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'))
    socket.on('error', () => onward.destroy()).on('close', () => onward.destroy())
    onward.on('error', () => socket.destroy()).on('close', () => socket.destroy())
    onward.pipe(socket).pipe(onward)
  })
  await using registry = new Registry('docker.io', {
    proxy: `http://${await listen(t, tunnel)}`,
    ca: hub.ca,
    retries: 0,
  })
  assert.equal((await registry.manifest('alpine')).mediaType, kMediaType.index)
  assert.deepEqual(
    (await registry.search('alpine')).map(({ name, stars }) => [name, stars]),
    [['alpine', 7]],
  )
  assert.deepEqual([...new Set(targets)], ['registry-1.docker.io:443', 'auth.docker.io:443', 'index.docker.io:443'])
  assert.deepEqual(hub.requests, [
    'registry-1.docker.io/v2/library/alpine/manifests/latest undefined',
    `auth.docker.io/token?service=registry.docker.io&scope=repository%3Alibrary%2Falpine%3Apull&account=ada Basic ${auth}`,
    'registry-1.docker.io/v2/library/alpine/manifests/latest Bearer hub-token',
    'index.docker.io/v1/search?q=alpine&n=25 undefined',
  ])
})

async function collectNames(names: AsyncIterable<string>): Promise<string[]> {
  const list: string[] = []
  for await (const name of names) list.push(name)
  return list
}

/** A credential helper that keeps what it is given in a file. */
async function writeHelper(home: string, name: string): Promise<void> {
  const path = join(home, 'bin', `docker-credential-${name}`)
  const script = `#!/bin/sh
case $1 in
  store) cat > '${home}/kept' ;;
  get) cat > /dev/null; if [ -f '${home}/kept' ]; then cat '${home}/kept'; else echo 'credentials not found in native keychain'; exit 1; fi ;;
  erase) cat > /dev/null; rm '${home}/kept' ;;
esac
`
  await writeFile(path, script)
  await chmod(path, 0o755)
}
