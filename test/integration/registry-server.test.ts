// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestOf } from '../../lib/oci/digest.ts'
import { kMediaType } from '../../lib/oci/image-config.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { assertError, makeManifest, pushBlob, pushManifest, send, startRegistry } from './registry-server-fixtures.ts'

checkLeftovers()

const kMissing = digestOf('nobody has this')

test('answers the ping and refuses what is no path, name, digest or method of a registry', async (t) => {
  const server = await startRegistry(t)
  const ping = await send(server, 'GET', '/v2/')
  assert.equal(ping.status, 200)
  assert.equal(ping.headers['docker-distribution-api-version'], 'registry/2.0')
  assertError(await send(server, 'GET', '/v2/UPPER/tags/list'), 400, 'NAME_INVALID')
  assertError(await send(server, 'GET', '/v2/a/../../etc/tags/list'), 400, 'NAME_INVALID')
  assertError(await send(server, 'GET', '/v2/a%2f..%2f..%2fetc/tags/list'), 400, 'NAME_INVALID')
  assertError(await send(server, 'GET', `/v2/${'a/'.repeat(200)}a/tags/list`), 400, 'NAME_INVALID')
  assertError(await send(server, 'GET', '/v2/%zz/tags/list'), 400, 'NAME_INVALID')
  assertError(await send(server, 'GET', '/v2/a/blobs/sha256:12'), 400, 'DIGEST_INVALID')
  assertError(await send(server, 'GET', '/v2/a/manifests/.INVALID'), 404, 'MANIFEST_UNKNOWN')
  assertError(await send(server, 'PUT', '/v2/a/manifests/.INVALID'), 400, 'TAG_INVALID')
  assertError(await send(server, 'GET', '/elsewhere'), 404, 'UNSUPPORTED')
  assertError(await send(server, 'GET', '/token'), 404, 'UNSUPPORTED')
  assertError(await send(server, 'GET', `/v2/${'a'.repeat(9000)}`), 414, 'NAME_INVALID')
  const wrong = await send(server, 'POST', '/v2/a/tags/list')
  assertError(wrong, 405, 'UNSUPPORTED')
  assert.equal(wrong.headers.allow, 'GET, HEAD')
})

test('takes blobs in every way', async (t) => {
  const server = await startRegistry(t)
  const bytes = Buffer.from('0123456789')
  const digest = digestOf(bytes)
  const begin = () => send(server, 'POST', '/v2/app/blobs/uploads/', { headers: { 'Content-Length': 0 } })
  const first = await begin()
  assert.equal(first.status, 202)
  assert.equal(first.headers.range, '0-0')
  const place = first.headers.location ?? ''
  const whole = await send(server, 'PUT', `${place}?digest=${digest}`, { body: bytes })
  assert.equal(whole.status, 201)
  assert.equal(whole.headers.location, `/v2/app/blobs/${digest}`)
  assert.equal(whole.headers['docker-content-digest'], digest)
  assertError(await send(server, 'GET', place), 404, 'BLOB_UPLOAD_UNKNOWN')

  const chunked = (await begin()).headers.location ?? ''
  const patch = (body: string, range: string) =>
    send(server, 'PATCH', chunked, { body, headers: { 'Content-Range': range, 'Content-Length': body.length } })
  assert.equal((await patch('0123', '0-3')).headers.range, '0-3')
  const gap = await patch('89', '8-9')
  assertError(gap, 416, 'BLOB_UPLOAD_INVALID')
  assert.equal(gap.headers.range, '0-3')
  assertError(await patch('45', '4-9'), 400, 'SIZE_INVALID')
  assertError(await patch('45', 'nonsense'), 400, 'BLOB_UPLOAD_INVALID')
  const status = await send(server, 'GET', chunked)
  assert.equal(status.status, 204)
  assert.equal(status.headers.range, '0-3')
  assert.equal((await patch('456', '4-6')).status, 202)
  const sha512 = digestOf(bytes, 'sha512')
  const end = await send(server, 'PUT', `${chunked}?digest=${sha512}`, { body: '789' })
  assert.equal(end.status, 201)
  assert.deepEqual((await send(server, 'GET', `/v2/app/blobs/${sha512}`)).body, bytes)

  assert.equal(await pushBlob(server, 'other', bytes), digest)
  assertError(
    await send(server, 'POST', `/v2/app/blobs/uploads/?digest=${kMissing}`, { body: 'x' }),
    400,
    'DIGEST_INVALID',
  )
  assertError(await send(server, 'POST', '/v2/app/blobs/uploads/?digest=md5:1', { body: 'x' }), 400, 'DIGEST_INVALID')
  const dropped = (await begin()).headers.location ?? ''
  assert.equal((await send(server, 'DELETE', dropped)).status, 204)
  assertError(await send(server, 'PATCH', dropped, { body: 'x' }), 404, 'BLOB_UPLOAD_UNKNOWN')
  assert.deepEqual(await readdir(join(server.root, 'uploads')), [])
  assert.deepEqual(await readdir(join(server.root, 'tmp')), [])
})

test('an empty blob is a blob', async (t) => {
  const server = await startRegistry(t)
  const digest = await pushBlob(server, 'app', '')
  const answer = await send(server, 'GET', `/v2/app/blobs/${digest}`)
  assert.equal(answer.status, 200)
  assert.equal(answer.headers['content-length'], '0')
  assert.equal((await send(server, 'GET', `/v2/app/blobs/${digest}`, { headers: { Range: 'bytes=0-' } })).status, 416)
})

test('mounts blobs of other repositories, and begins an upload where there is none', async (t) => {
  const server = await startRegistry(t)
  const digest = await pushBlob(server, 'from', 'bytes')
  const mount = (query: string) => send(server, 'POST', `/v2/to/blobs/uploads/?${query}`)
  assert.equal((await mount(`mount=${digest}`)).status, 202)
  assert.equal((await mount(`mount=${kMissing}&from=from`)).status, 202)
  assert.equal((await mount(`mount=${digest}&from=nowhere`)).status, 202)
  assertError(await send(server, 'HEAD', `/v2/to/blobs/${digest}`).then(withBody), 404, 'BLOB_UNKNOWN')
  const mounted = await mount(`mount=${digest}&from=from`)
  assert.equal(mounted.status, 201)
  assert.equal(mounted.headers.location, `/v2/to/blobs/${digest}`)
  assert.equal((await send(server, 'DELETE', `/v2/from/blobs/${digest}`)).status, 202)
  assertError(await send(server, 'DELETE', `/v2/from/blobs/${digest}`), 404, 'BLOB_UNKNOWN')
  assert.equal((await send(server, 'GET', `/v2/to/blobs/${digest}`)).body.toString(), 'bytes')

  function withBody(answer: Awaited<ReturnType<typeof send>>): typeof answer {
    assert.equal(answer.body.byteLength, 0)
    return { ...answer, body: Buffer.from('{"errors":[{"code":"BLOB_UNKNOWN","message":""}]}') }
  }
})

test('sends blobs whole and in parts', async (t) => {
  const server = await startRegistry(t)
  const digest = await pushBlob(server, 'app', '0123456789')
  const get = (headers: Record<string, string>, method = 'GET') =>
    send(server, method, `/v2/app/blobs/${digest}`, { headers })
  const whole = await get({})
  assert.equal(whole.headers.etag, `"${digest}"`)
  assert.equal(whole.headers['accept-ranges'], 'bytes')
  const part = await get({ Range: 'bytes=2-4' })
  assert.equal(part.status, 206)
  assert.equal(part.body.toString(), '234')
  assert.equal(part.headers['content-range'], 'bytes 2-4/10')
  assert.equal((await get({ Range: 'bytes=-3' })).body.toString(), '789')
  assert.equal((await get({ Range: 'bytes=7-' })).body.toString(), '789')
  const beyond = await get({ Range: 'bytes=10-' })
  assertError(beyond, 416, 'SIZE_INVALID')
  assert.equal(beyond.headers['content-range'], 'bytes */10')
  assert.equal((await get({ 'If-None-Match': `"${digest}"` })).status, 304)
  const head = await get({}, 'HEAD')
  assert.equal(head.headers['content-length'], '10')
  assert.equal(head.body.byteLength, 0)
})

test('stores manifests and tags, and says what is wrong with others', async (t) => {
  const server = await startRegistry(t)
  const manifest = makeManifest('config', ['layer'])
  const digest = digestOf(manifest)
  assertError(await send(server, 'GET', '/v2/app/manifests/v1'), 404, 'NAME_UNKNOWN')
  assertError(await send(server, 'GET', '/v2/app/tags/list'), 404, 'NAME_UNKNOWN')
  await pushBlob(server, 'app', 'config')
  const lacking = await pushManifest(server, 'app', 'v1', manifest)
  assertError(lacking, 404, 'MANIFEST_BLOB_UNKNOWN')
  assert.ok(lacking.body.includes(digestOf('layer')))
  await pushBlob(server, 'app', 'layer')
  const pushed = await pushManifest(server, 'app', 'v1', manifest)
  assert.equal(pushed.status, 201, pushed.body.toString())
  assert.equal(pushed.headers.location, `/v2/app/manifests/${digest}`)
  for (const reference of ['v1', digest]) {
    const got = await send(server, 'GET', `/v2/app/manifests/${reference}`)
    assert.equal(got.body.toString(), manifest)
    assert.equal(got.headers['content-type'], kMediaType.manifest)
    assert.equal(got.headers['docker-content-digest'], digest)
  }
  assertError(await pushManifest(server, 'app', kMissing, manifest), 400, 'DIGEST_INVALID')
  assertError(await pushManifest(server, 'app', 'v2', 'no json'), 400, 'MANIFEST_INVALID')
  assertError(await pushManifest(server, 'app', 'v2', manifest, kMediaType.index), 400, 'MANIFEST_INVALID')
  const both = makeManifest('config', ['layer'], { manifests: [] })
  assertError(await pushManifest(server, 'app', 'v2', both), 400, 'MANIFEST_INVALID')
  assertError(await pushManifest(server, 'app', 'v2', ' '.repeat(4 * 1024 ** 2 + 1)), 413, 'SIZE_INVALID')
  assert.equal((await pushManifest(server, 'app', 'v2', manifest)).status, 201)
  assert.equal((await send(server, 'DELETE', '/v2/app/manifests/v1')).status, 202)
  assertError(await send(server, 'DELETE', '/v2/app/manifests/v1'), 404, 'MANIFEST_UNKNOWN')
  assert.equal((await send(server, 'GET', `/v2/app/manifests/${digest}`)).status, 200)
  assert.equal((await send(server, 'DELETE', `/v2/app/manifests/${digest}`)).status, 202)
  assertError(await send(server, 'GET', '/v2/app/manifests/v2'), 404, 'MANIFEST_UNKNOWN')
  assert.deepEqual(JSON.parse((await send(server, 'GET', '/v2/app/tags/list')).body.toString()), {
    name: 'app',
    tags: [],
  })
})

test('an index needs its manifests, a foreign layer nothing', async (t) => {
  const server = await startRegistry(t)
  await pushBlob(server, 'app', 'config')
  const foreign = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip'
  const image = makeManifest('config', [], {
    layers: [{ mediaType: foreign, digest: kMissing, size: 3, urls: ['https://x.test/'] }],
  })
  const child = { mediaType: kMediaType.manifest, digest: digestOf(image), size: image.length }
  const index = JSON.stringify({ schemaVersion: 2, manifests: [child] })
  assertError(await pushManifest(server, 'app', 'all', index, kMediaType.index), 404, 'MANIFEST_BLOB_UNKNOWN')
  assert.equal((await pushManifest(server, 'app', digestOf(image), image)).status, 201)
  assert.equal((await pushManifest(server, 'app', 'all', index, kMediaType.index)).status, 201)
  assert.equal((await send(server, 'HEAD', '/v2/app/manifests/all')).headers['content-type'], kMediaType.index)
})

test('lists tags and repositories in pages', async (t) => {
  const server = await startRegistry(t)
  for (const name of ['b', 'a/c', 'a']) {
    await pushBlob(server, name, 'config')
    for (const tag of ['3', '1', '2']) await pushManifest(server, name, tag, makeManifest('config', []))
  }
  await pushBlob(server, 'no-manifest', 'config')
  const list = async (target: string) => {
    const answer = await send(server, 'GET', target)
    const { tags, repositories } = JSON.parse(answer.body.toString()) as { tags?: string[]; repositories?: string[] }
    return { names: tags ?? repositories, link: answer.headers.link }
  }
  assert.deepEqual(await list('/v2/a/tags/list'), { names: ['1', '2', '3'], link: undefined })
  const next = '</v2/a/tags/list?n=2&last=2>; rel="next"'
  assert.deepEqual(await list('/v2/a/tags/list?n=2'), { names: ['1', '2'], link: next })
  assert.deepEqual(await list('/v2/a/tags/list?n=2&last=2'), { names: ['3'], link: undefined })
  assert.deepEqual(await list('/v2/a/tags/list?n=0'), { names: [], link: undefined })
  assertError(await send(server, 'GET', '/v2/a/tags/list?n=-1'), 400, 'PAGINATION_NUMBER_INVALID')
  assert.deepEqual(await list('/v2/_catalog'), { names: ['a', 'a/c', 'b'], link: undefined })
  assert.deepEqual(await list('/v2/_catalog?n=1&last=a'), {
    names: ['a/c'],
    link: '</v2/_catalog?n=1&last=a%2Fc>; rel="next"',
  })
})

test('lists referrers, those under a fallback tag too', async (t) => {
  const server = await startRegistry(t)
  for (const name of ['app', 'copy']) await pushBlob(server, name, 'config')
  const subject = { mediaType: kMediaType.manifest, digest: kMissing, size: 1 }
  const signature = makeManifest('config', [], { subject, artifactType: 'text/signature', annotations: { by: 'me' } })
  const report = makeManifest('config', [], { subject, artifactType: 'text/report' })
  const pushed = await pushManifest(server, 'app', digestOf(signature), signature)
  assert.equal(pushed.headers['oci-subject'], kMissing)
  await pushManifest(server, 'app', 'report', report)
  const list = async (query = '') => {
    const answer = await send(server, 'GET', `/v2/app/referrers/${kMissing}${query}`)
    assert.equal(answer.headers['content-type'], kMediaType.index)
    const { manifests } = JSON.parse(answer.body.toString()) as { manifests: { digest: string }[] }
    return { manifests, filters: answer.headers['oci-filters-applied'] }
  }
  const entry = {
    mediaType: kMediaType.manifest,
    digest: digestOf(signature),
    size: signature.length,
    artifactType: 'text/signature',
    annotations: { by: 'me' },
  }
  assert.deepEqual(await list('?artifactType=text/signature'), { manifests: [entry], filters: 'artifactType' })
  assert.equal((await list()).manifests.length, 2)
  const fallback = { schemaVersion: 2, mediaType: kMediaType.index, manifests: [entry] }
  const tag = kMissing.replace(':', '-')
  assert.equal((await pushManifest(server, 'app', tag, JSON.stringify(fallback), kMediaType.index)).status, 201)
  assert.equal((await list()).manifests.length, 2)
  await send(server, 'DELETE', `/v2/app/manifests/${digestOf(report)}`)
  assert.deepEqual((await list()).manifests, [entry])
  const none = await send(server, 'GET', `/v2/unknown/referrers/${kMissing}`)
  assert.deepEqual(JSON.parse(none.body.toString()).manifests, [])
})

test('read-only: everything can be read and nothing changed', async (t) => {
  const server = await startRegistry(t, { readOnly: true })
  assert.equal((await send(server, 'GET', '/v2/')).status, 200)
  assertError(await send(server, 'POST', '/v2/app/blobs/uploads/'), 405, 'UNSUPPORTED')
  assertError(await send(server, 'DELETE', `/v2/app/blobs/${kMissing}`), 405, 'UNSUPPORTED')
})

test('collects what no manifest refers to', async (t) => {
  const server = await startRegistry(t)
  for (const bytes of ['config', 'layer', 'garbage']) await pushBlob(server, 'app', bytes)
  await pushManifest(server, 'app', 'v1', makeManifest('config', ['layer']))
  assert.deepEqual(await server.collectGarbage(), { blobs: 0, bytes: 0 })
  assert.deepEqual(await server.collectGarbage({ minAgeMs: 0 }), { blobs: 1, bytes: 7 })
  assert.equal((await send(server, 'HEAD', `/v2/app/blobs/${digestOf('layer')}`)).status, 200)
  await send(server, 'DELETE', `/v2/app/manifests/${digestOf(makeManifest('config', ['layer']))}`)
  assert.deepEqual(await server.collectGarbage({ minAgeMs: 0 }), { blobs: 2, bytes: 11 })
})
