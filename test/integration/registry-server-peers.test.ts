// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestHex, digestOf } from '../../lib/oci/digest.ts'
import { serveRegistry } from '../../lib/registry-server/registry-server.ts'
import { makeCertificates } from '../helpers/certificates.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { needs } from '../helpers/needs.ts'
import { podmanIn, podmanStorage } from '../helpers/podman.ts'
import { makeOciLayout, makeRootfs, packTar, run, skopeoInspect, tempDir } from './image-fixtures.ts'
import { assertError, makeManifest, pushBlob, pushManifest, send, startRegistry } from './registry-server-fixtures.ts'

checkLeftovers()

const kPlain = '--dest-tls-verify=false'
const kPlainSource = '--src-tls-verify=false'

test('skopeo copies images in and out, across repositories, and deletes them', async (t) => {
  if (!needs(t, 'command:skopeo', 'command:umoci', 'command:busybox')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const server = await startRegistry(t)
  const remote = `docker://${server.address}/team/demo`
  await run('skopeo', 'copy', kPlain, `oci:${layout}:demo`, `${remote}:v1`)
  await run('skopeo', 'copy', kPlainSource, `${remote}:v1`, `oci:${dir}/back:demo`)
  assert.equal((await skopeoInspect(`oci:${dir}/back:demo`)).Digest, (await skopeoInspect(`oci:${layout}:demo`)).Digest)
  await run('skopeo', 'copy', '--format', 'v2s2', kPlain, `oci:${layout}:demo`, `docker://${server.address}/docker:v2`)
  await run('skopeo', 'copy', kPlain, kPlainSource, `${remote}:v1`, `docker://${server.address}/other:v1`)
  const tags = JSON.parse(await run('skopeo', 'list-tags', '--tls-verify=false', remote)) as { Tags: string[] }
  assert.deepEqual(tags.Tags, ['v1'])
  await run('skopeo', 'delete', '--tls-verify=false', `${remote}:v1`)
  await assert.rejects(run('skopeo', 'inspect', '--tls-verify=false', `${remote}:v1`), /manifest unknown|not have this/)
  // Everything is stored once, whatever the number of repositories: two layers, a configuration.
  const blobs = await readdir(join(server.root, 'blobs/sha256'), { recursive: true, withFileTypes: true })
  assert.equal(blobs.filter((entry) => entry.isFile()).length, 3)
})

test('podman and buildah push and pull, and podman logs in', async (t) => {
  if (!needs(t, 'root', 'command:podman', 'command:buildah', 'command:busybox')) return
  const dir = await tempDir(t)
  const tar = await packTar(await makeRootfs(dir), join(dir, 'rootfs.tar'))
  const server = await startRegistry(t, { auth: { users: { me: 'a secret: with colon' } } })
  const podman = podmanIn(dir)
  const name = `${server.address}/podman/demo:1`
  await podman('import', tar, name)
  const auth = ['--authfile', `${dir}/auth.json`, '--tls-verify=false']
  await assert.rejects(
    podman('login', ...auth, '-u', 'me', '-p', 'wrong', server.address),
    /invalid username\/password|authentication required/,
  )
  await podman('login', ...auth, '-u', 'me', '-p', 'a secret: with colon', server.address)
  await podman('push', ...auth, name)
  const id = (await podman('images', '--quiet', '--no-trunc', name)).trim()
  await podman('rmi', name)
  await podman('pull', ...auth, name)
  assert.equal((await podman('images', '--quiet', '--no-trunc', name)).trim(), id)
  const other = `docker://${server.address}/buildah/demo:1`
  await run('buildah', ...podmanStorage(dir), 'push', ...auth, name, other)
  await podman('rmi', name)
  await run('buildah', ...podmanStorage(dir), 'pull', ...auth, other)
})

test('skopeo gives a name and password, directly or for a token', async (t) => {
  if (!needs(t, 'command:skopeo', 'command:umoci', 'command:busybox')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  for (const tokenAuth of [false, true]) {
    await t.test(tokenAuth ? 'tokens' : 'Basic', async (t) => {
      const server = await startRegistry(t, {
        tokenAuth,
        // Everybody may pull, one may push, another has no rights beyond.
        auth: (who, { action }) => {
          if (who !== undefined && who.password !== 'secret') return false
          return (
            action === 'pull' ||
            (who?.username === 'writer' && action !== 'delete') ||
            (who !== undefined && action === 'ping')
          )
        },
      })
      const remote = `docker://${server.address}/demo:1`
      const push = (user: string) => run('skopeo', 'copy', kPlain, '--dest-creds', user, `oci:${layout}:demo`, remote)
      await assert.rejects(push('writer:wrong'), /authentication required|unauthorized/)
      await assert.rejects(push('reader:secret'), /denied|you have no right to do this/)
      await push('writer:secret')
      await run('skopeo', 'copy', kPlainSource, remote, `oci:${dir}/out-${tokenAuth}:demo`)
      await assert.rejects(
        run('skopeo', 'delete', '--tls-verify=false', '--creds', 'writer:secret', remote),
        // A token is good, but not for that: clients see a challenge that says so.
        tokenAuth ? /authentication required.*delete.*401/ : /you have no right to do this.*403/,
      )
      const challenge = (await send(server, 'GET', '/v2/')).headers['www-authenticate'] ?? ''
      assert.match(
        challenge,
        tokenAuth ? /^Bearer realm="http:\/\/127.0.0.1:\d+\/token",service="wherry"/ : /^Basic realm=/,
      )
    })
  }
})

test('serves https with a certificate of a private authority', async (t) => {
  if (!needs(t, 'command:skopeo', 'command:umoci', 'command:busybox', 'command:openssl')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const { cert, key, caDir } = await makeCertificates(dir)
  const server = await startRegistry(t, { tls: { cert, key } })
  assert.match(server.url, /^https:/)
  const remote = `docker://${server.address}/demo:1`
  await run('skopeo', 'copy', '--dest-cert-dir', caDir, `oci:${layout}:demo`, remote)
  await run('skopeo', 'inspect', '--cert-dir', caDir, remote)
  await assert.rejects(run('skopeo', 'inspect', remote), /x509|certificate/)
})

test('50 pushes and 50 pulls at once of images that share blobs', async (t) => {
  if (!needs(t, 'command:skopeo', 'command:umoci', 'command:busybox')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const server = await startRegistry(t)
  const each = <T>(work: (index: number) => Promise<T>) =>
    Promise.all(Array.from({ length: 50 }, (_, index) => work(index)))
  const remote = (index: number) => `docker://${server.address}/demo${index % 10}:${index}`
  await each((index) => run('skopeo', 'copy', kPlain, `oci:${layout}:demo`, remote(index)))
  await each((index) => run('skopeo', 'copy', kPlainSource, remote(index), `dir:${dir}/out${index}`))
  const blobs = await readdir(join(server.root, 'blobs/sha256'), { recursive: true, withFileTypes: true })
  assert.equal(blobs.filter((entry) => entry.isFile()).length, 3)
  assert.deepEqual(await readdir(join(server.root, 'uploads')), [])
})

test('a cache serves what it has while upstream is away, and refuses pushes', async (t) => {
  if (!needs(t, 'command:skopeo', 'command:umoci', 'command:busybox')) return
  const dir = await tempDir(t)
  const layout = await makeOciLayout(dir)
  const upstream = await serveRegistry()
  t.after(() => upstream.close({ graceMs: 0 }))
  await run('skopeo', 'copy', kPlain, `oci:${layout}:demo`, `docker://${upstream.address}/demo:1`)
  const cache = await startRegistry(t, { upstream: { host: upstream.address, insecure: true }, upstreamTtlMs: 0 })
  const remote = `docker://${cache.address}/demo:1`
  await Promise.all(
    ['a', 'b', 'c'].map((name) => run('skopeo', 'copy', kPlainSource, remote, `oci:${dir}/${name}:demo`)),
  )
  assert.equal((await skopeoInspect(`oci:${dir}/a:demo`)).Digest, (await skopeoInspect(`oci:${layout}:demo`)).Digest)
  await assert.rejects(
    run('skopeo', 'copy', kPlain, `oci:${layout}:demo`, `docker://${cache.address}/demo:2`),
    /the registry is a cache of another one|405/,
  )
  assert.equal((await send(cache, 'GET', '/v2/demo/manifests/none')).status, 404)
  await upstream.close({ graceMs: 0 })
  await run('skopeo', 'copy', kPlainSource, remote, `oci:${dir}/d:demo`)
  assert.equal((await send(cache, 'GET', '/v2/demo/manifests/none')).status, 503)
})

test('a cache keeps nothing that upstream forged, and no client takes it for complete', async (t) => {
  const upstream = await startRegistry(t)
  const layer = 'x'.repeat(100_000)
  for (const bytes of ['config', layer]) await pushBlob(upstream, 'demo', bytes)
  await pushManifest(upstream, 'demo', '1', makeManifest('config', [layer]))
  const digest = digestOf(layer)
  const hex = digestHex(digest)
  // In place: the repository's link has the same bytes.
  await writeFile(join(upstream.root, 'blobs/sha256', hex.slice(0, 2), hex), 'y'.repeat(layer.length))
  const cache = await serveRegistry({ upstream: { host: upstream.address, insecure: true } })
  t.after(() => cache.close({ graceMs: 0 }))
  assertError(await send(cache, 'GET', `/v2/demo/blobs/${digest}`), 404, 'BLOB_UNKNOWN')
  assert.equal((await send(cache, 'GET', '/v2/demo/manifests/1')).status, 200)
  await assert.rejects(send(cache, 'GET', `/v2/demo/blobs/${digest}`), /aborted|ECONNRESET|hang up/)
  assert.equal((await send(cache, 'GET', `/v2/demo/blobs/${digestOf('config')}`)).body.toString(), 'config')
  const blobs = await readdir(join(cache.root, 'blobs/sha256'), { recursive: true, withFileTypes: true })
  assert.deepEqual(
    blobs.filter((entry) => entry.isFile()).map((entry) => entry.name),
    [digestHex(digestOf('config'))],
  )
  assert.deepEqual(await readdir(join(cache.root, 'tmp')), [])
})
