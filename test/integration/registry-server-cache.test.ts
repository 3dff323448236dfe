// SPDX-License-Identifier: MIT
// A registry server as a cache of one that asks for a password.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { env } from 'node:process'
import { type TestContext, test } from 'node:test'
import { RegistryClient } from '../../lib/distribution/registry-client.ts'
import { digestOf } from '../../lib/oci/digest.ts'
import type { RegistryServerUpstream } from '../../lib/registry-server/options.ts'
import type { RegistryServer } from '../../lib/registry-server/registry-server.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { makeBlob, pushTestImage } from '../helpers/remote-image.ts'
import { tempDir } from './image-fixtures.ts'
import { assertError, send, startRegistry } from './registry-server-fixtures.ts'

checkLeftovers()

const user = { username: 'ada', password: 'open sesame' }

/** Docker's config.json with these entries, for this process; podman's file is nowhere. */
async function useStored(t: TestContext, auths: Record<string, object>): Promise<void> {
  const dir = await tempDir(t)
  await writeFile(join(dir, 'config.json'), JSON.stringify({ auths }))
  const places = { DOCKER_CONFIG: dir, REGISTRY_AUTH_FILE: join(dir, 'none') }
  for (const [name, value] of Object.entries(places)) {
    const before = env[name]
    env[name] = value
    t.after(() => {
      if (before === undefined) delete env[name]
      else env[name] = before
    })
  }
}

const stored = { auth: Buffer.from(`${user.username}:${user.password}`).toString('base64') }

interface Setting {
  upstream: RegistryServer
  /** Credentials that the upstream was shown, `-` for none. */
  shown: Set<string>
  layer: Buffer
  manifest: Buffer
}

/** A registry of one user with the image `app:1`. */
async function startUpstream(t: TestContext, tokenAuth: boolean): Promise<Setting> {
  const shown = new Set<string>()
  const upstream = await startRegistry(t, {
    tokenAuth,
    auth: (who) => {
      shown.add(who === undefined ? '-' : `${who.username}:${who.password}`)
      return who?.username === user.username && who.password === user.password
    },
  })
  await using client = new RegistryClient(upstream.address, { auth: user })
  const image = await pushTestImage(client.repository('app'), '1', makeBlob(200_000))
  shown.clear()
  return { upstream, shown, layer: image.layer.bytes, manifest: image.manifest }
}

async function assertServes(cache: RegistryServer, { layer, manifest }: Setting): Promise<void> {
  assert.deepEqual((await send(cache, 'GET', '/v2/app/manifests/1')).body, manifest)
  assert.deepEqual((await send(cache, 'GET', `/v2/app/blobs/${digestOf(layer)}`)).body, layer)
  assert.deepEqual(JSON.parse((await send(cache, 'GET', '/v2/app/tags/list')).body.toString()).tags, ['1'])
}

for (const tokenAuth of [false, true]) {
  test(`shows upstream what is stored for it on this machine, or given: ${tokenAuth ? 'tokens' : 'Basic'}`, async (t) => {
    const setting = await startUpstream(t, tokenAuth)
    const { upstream, shown } = setting
    const start = (more: Partial<RegistryServerUpstream> = {}): Promise<RegistryServer> =>
      startRegistry(t, { upstream: { host: upstream.address, insecure: true, ...more } })
    await useStored(t, { [upstream.address]: stored, 'elsewhere.test': { auth: 'YTpi' } })
    await assertServes(await start(), setting)
    await useStored(t, {})
    await assertServes(await start({ auth: user }), setting)
    const expected = new Set(['-', `${user.username}:${user.password}`])
    for (const each of shown) assert.ok(expected.has(each), each)
    assert.ok(shown.has(`${user.username}:${user.password}`))
    const without = await start()
    assertError(await send(without, 'GET', '/v2/app/manifests/1'), 503, 'UNAVAILABLE')
    assertError(await send(without, 'GET', `/v2/app/blobs/${digestOf(setting.layer)}`), 404, 'BLOB_UNKNOWN')
  })
}

test('what clients show the cache goes no further, and upstream’s challenge goes to no client', async (t) => {
  const setting = await startUpstream(t, false)
  await useStored(t, { [setting.upstream.address]: stored })
  const cache = await startRegistry(t, {
    auth: { username: 'client', password: 'of the cache' },
    upstream: { host: setting.upstream.address, insecure: true },
  })
  const denied = await send(cache, 'GET', '/v2/app/manifests/1')
  assertError(denied, 401, 'UNAUTHORIZED')
  const authorization = `Basic ${Buffer.from('client:of the cache').toString('base64')}`
  const answer = await send(cache, 'GET', '/v2/app/manifests/1', { headers: { authorization } })
  assert.deepEqual(answer.body, setting.manifest)
  assert.ok(!setting.shown.has('client:of the cache'), 'upstream saw the password of a client')
  assert.ok(!JSON.stringify([answer.headers, denied.headers]).includes(stored.auth))
})
