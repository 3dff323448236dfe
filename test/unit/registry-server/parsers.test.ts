// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { digestOf } from '../../../lib/oci/digest.ts'
import { kMediaType } from '../../../lib/oci/image-config.ts'
import { RequestError, toRequestError } from '../../../lib/registry-server/errors.ts'
import { KeyedLock } from '../../../lib/registry-server/keyed-lock.ts'
import { cutPage } from '../../../lib/registry-server/listing.ts'
import { parseManifestContent } from '../../../lib/registry-server/manifest-content.ts'
import { parseContentRange, parseRange } from '../../../lib/registry-server/range.ts'
import { parseRoute } from '../../../lib/registry-server/router.ts'

const kDigest = digestOf('x')
const hasCode = (code: string) => (error: unknown) => error instanceof RequestError && error.code === code

test('reads Range', () => {
  const rows: [string | undefined, number, ReturnType<typeof parseRange>][] = [
    [undefined, 10, undefined],
    ['bytes=0-9', 10, { start: 0, end: 9 }],
    ['bytes=3-', 10, { start: 3, end: 9 }],
    ['bytes=3-99', 10, { start: 3, end: 9 }],
    ['bytes=-4', 10, { start: 6, end: 9 }],
    ['bytes=-99', 10, { start: 0, end: 9 }],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=5-4', 10, undefined],
    ['bytes=-', 10, undefined],
    ['bytes=0-1,3-4', 10, undefined],
    ['lines=0-1', 10, undefined],
  ]
  for (const [header, size, expected] of rows) assert.deepEqual(parseRange(header, size), expected, header)
})

test('a range never leaves the blob', () => {
  fc.assert(
    fc.property(fc.option(fc.nat()), fc.option(fc.nat()), fc.nat(), (first, last, size) => {
      const range = parseRange(`bytes=${first ?? ''}-${last ?? ''}`, size)
      if (range === undefined || range === 'unsatisfiable') return
      assert.ok(range.start >= 0 && range.start <= range.end && range.end < size)
    }),
  )
})

test('reads Content-Range of chunks', () => {
  assert.deepEqual(parseContentRange('0-99'), { start: 0, end: 99 })
  assert.deepEqual(parseContentRange('bytes 5-9/10'), { start: 5, end: 9 })
  for (const bad of ['', '5', '9-5', '-5', '5-', 'a-b', '1-2,3-4']) assert.equal(parseContentRange(bad), undefined, bad)
})

test('finds the route, the longest name first', () => {
  const route = (url: string, method = 'GET') => parseRoute(method, url).route
  assert.deepEqual(route('/v2'), { kind: 'ping' })
  assert.deepEqual(route('/v2/a/b/tags/list?n=1'), { kind: 'tags', repository: 'a/b' })
  assert.deepEqual(route('/v2/blobs/manifests/tags'), {
    kind: 'manifest',
    repository: 'blobs',
    reference: { tag: 'tags' },
  })
  assert.deepEqual(route(`/v2/a/blobs/${kDigest.replace(':', '%3A')}`), {
    kind: 'blob',
    repository: 'a',
    digest: kDigest,
  })
  assert.deepEqual(route('/v2/a/blobs/uploads', 'POST'), { kind: 'uploads', repository: 'a' })
  assert.throws(() => route('/v2/a/blobs/uploads/../x', 'PUT'), RequestError)
  assert.throws(() => route('/v2/a/blobs/uploads/not-a-uuid', 'PUT'), hasCode('BLOB_UPLOAD_UNKNOWN'))
})

test('no path names anything outside the grammar', () => {
  const piece = fc.constantFrom(
    '..',
    '.',
    '',
    'a',
    '%2e%2e',
    '%2f',
    '_blobs',
    'tags',
    'list',
    'manifests',
    'blobs',
    '\\',
    '%00',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      try {
        const { route } = parseRoute('GET', `/v2/${pieces.join('/')}`)
        if ('repository' in route) assert.match(route.repository, /^[a-z0-9]+([._/-]+[a-z0-9]+)*$/)
      } catch (error) {
        assert.ok(error instanceof RequestError, String(error))
      }
    }),
  )
})

test('reads manifests of all kinds and refuses those that are two things at once', () => {
  const descriptor = { mediaType: kMediaType.config, digest: kDigest, size: 1 }
  const parse = (document: unknown, type?: string) => parseManifestContent(Buffer.from(JSON.stringify(document)), type)
  const image = { schemaVersion: 2, config: descriptor, layers: [descriptor] }
  assert.equal(parse(image).mediaType, kMediaType.manifest)
  assert.equal(parse(image, `${kMediaType.manifest}; charset=utf-8`).artifactType, kMediaType.config)
  assert.deepEqual(parse(image).blobs, [{ digest: kDigest, size: 1 }])
  assert.equal(parse({ schemaVersion: 2, manifests: [descriptor] }).mediaType, kMediaType.index)
  assert.equal(parse({ ...image, mediaType: kMediaType.dockerManifest }).mediaType, kMediaType.dockerManifest)
  const artifact = {
    mediaType: 'application/vnd.oci.artifact.manifest.v1+json',
    artifactType: 't',
    blobs: [descriptor],
  }
  assert.equal(parse(artifact).artifactType, 't')
  for (const bad of [
    null,
    [],
    {},
    { ...image, schemaVersion: 1 },
    { ...image, manifests: [] },
    { ...image, fsLayers: [] },
    { ...image, config: { ...descriptor, digest: 'sha256:1' } },
    { ...image, config: { ...descriptor, size: -1 } },
    { ...image, mediaType: 'text/plain' },
    { schemaVersion: 2, manifests: [], config: descriptor },
    { schemaVersion: 1, mediaType: 'application/vnd.docker.distribution.manifest.v1+prettyjws', fsLayers: [] },
    { ...artifact, layers: [] },
  ]) {
    assert.throws(() => parse(bad), hasCode('MANIFEST_INVALID'), JSON.stringify(bad))
  }
  assert.throws(() => parse(image, kMediaType.dockerManifest), hasCode('MANIFEST_INVALID'))
  assert.throws(() => parseManifestContent(Buffer.from([0xff, 0xfe]), undefined), hasCode('MANIFEST_INVALID'))
})

test('cuts pages that together are the whole list', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ minLength: 1 })), fc.integer({ min: 1, max: 5 }), (names, n) => {
      const sorted = [...names].sort()
      const seen: string[] = []
      for (let query: string | undefined = `n=${n}`; query !== undefined; ) {
        const page = cutPage(sorted, new URLSearchParams(query))
        seen.push(...page.names)
        query = page.next
      }
      assert.deepEqual(seen, sorted)
    }),
  )
})

test('an error of the server tells the client nothing of its insides', () => {
  const full = Object.assign(new Error('ENOSPC: /secret/path'), { code: 'ENOSPC' })
  assert.equal(toRequestError(full).status, 507)
  assert.equal(toRequestError(new Error('/secret')).status, 500)
  assert.ok(!JSON.stringify([toRequestError(full), toRequestError('/secret')]).includes('secret'))
})

test('work on one key goes in order, after failures too, and leaves nothing behind', async () => {
  const lock = new KeyedLock()
  const order: number[] = []
  const first = lock.run('a', async () => {
    await Promise.resolve()
    order.push(1)
    throw new Error('first')
  })
  const second = lock.run('a', async () => order.push(2))
  await assert.rejects(first, /first/)
  await second
  assert.deepEqual(order, [1, 2])
})
