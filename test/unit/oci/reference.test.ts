import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { InvalidReferenceError } from '../../../lib/errors.ts'
import { Reference } from '../../../lib/oci/reference.ts'

const kDigest = `sha256:${'0123456789abcdef'.repeat(4)}`

for (const [text, canonical, short = canonical] of [
  ['alpine', 'docker.io/library/alpine:latest', 'alpine:latest'],
  ['alpine:3.20', 'docker.io/library/alpine:3.20', 'alpine:3.20'],
  ['library/alpine', 'docker.io/library/alpine:latest', 'alpine:latest'],
  ['docker.io/alpine', 'docker.io/library/alpine:latest', 'alpine:latest'],
  ['index.docker.io/alpine', 'docker.io/library/alpine:latest', 'alpine:latest'],
  ['user/repo', 'docker.io/user/repo:latest', 'user/repo:latest'],
  ['localhost/repo', 'localhost/repo:latest'],
  ['localhost:5000/repo', 'localhost:5000/repo:latest'],
  ['localhost:5000', 'docker.io/library/localhost:5000', 'localhost:5000'],
  ['ghcr.io/o/r/deep:v1', 'ghcr.io/o/r/deep:v1'],
  ['HOST/repo', 'HOST/repo:latest'],
  ['[2001:db8::1]:5000/repo', '[2001:db8::1]:5000/repo:latest'],
  ['a/b__c--d.e', 'docker.io/a/b__c--d.e:latest', 'a/b__c--d.e:latest'],
  [`alpine@${kDigest}`, `docker.io/library/alpine@${kDigest}`, `alpine@${kDigest}`],
  [`alpine:1@${kDigest}`, `docker.io/library/alpine:1@${kDigest}`, `alpine:1@${kDigest}`],
] as const) {
  test(`reads ${text}`, () => {
    const reference = Reference.parse(text)
    assert.equal(reference.toString(), canonical)
    assert.equal(reference.toShortString(), short)
    assert.ok(Reference.parse(canonical).equals(reference))
    assert.equal(JSON.stringify({ reference }), JSON.stringify({ reference: canonical }))
  })
}

test('has its parts', () => {
  const { domain, path, tag, digest, name } = Reference.parse(`localhost:5000/a/b:t@${kDigest}`)
  assert.deepEqual(
    { domain, path, tag, digest, name },
    {
      domain: 'localhost:5000',
      path: 'a/b',
      tag: 't',
      digest: kDigest,
      name: 'localhost:5000/a/b',
    },
  )
  assert.equal(Reference.parse('a:1').withTag('2').toString(), 'docker.io/library/a:2')
  assert.throws(() => Reference.parse('a').withTag('/'), InvalidReferenceError)
})

for (const [text, position, reason] of [
  ['', 0, /empty/],
  ['Alpine', 0, /lower case/],
  ['a/Alpine', 2, /lower case/],
  ['ghcr.io/a//b', 10, /empty part/],
  ['a/', 2, /empty part/],
  ['/a', 0, /empty part/],
  ['a:', 2, /tag is empty/],
  ['a:b c', 3, /a tag has/],
  ['a:.x', 2, /a tag has/],
  [`a:${'t'.repeat(129)}`, 2, /a tag has/],
  ['a___b', 0, /separators/],
  ['-host.com/x', 0, /registry host/],
  ['ho st.com/x', 0, /registry host/],
  ['a@sha256:12', 11, /64 hex/],
  ['a@md5:12', 2, /algorithm/],
  [kDigest, 0, /bare digest/],
  ['a'.repeat(64), 0, /bare digest/],
  [`${'a/'.repeat(150)}b`, 255, /longer than 255/],
  ['x'.repeat(2000), 1024, /longer than 1024/],
  ['../../etc/passwd', 0, /separators|registry host/],
] as const) {
  test(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
    assert.throws(
      () => Reference.parse(text),
      (error) => error instanceof InvalidReferenceError && error.position === position && reason.test(error.message),
    )
  })
}

test('parses or refuses any text, and what it gives parses to the same', () => {
  const piece = fc.constantFrom(
    'a',
    'B',
    '0',
    '.',
    '-',
    '_',
    '/',
    ':',
    '@',
    'localhost',
    'sha256:',
    kDigest,
    ' ',
    'é',
    '\0',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('')
      try {
        const reference = Reference.parse(text)
        assert.equal(Reference.parse(reference.toString()).toString(), reference.toString())
        assert.equal(Reference.parse(reference.toShortString()).toString(), reference.toString())
      } catch (error) {
        assert.ok(error instanceof InvalidReferenceError, String(error))
        assert.ok(error.position >= 0 && error.position <= text.length)
      }
    }),
    { numRuns: 2000 },
  )
})
