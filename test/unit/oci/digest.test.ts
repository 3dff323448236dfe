import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IntegrityError, InvalidReferenceError } from '../../../lib/errors.ts'
import { digestAlgorithm, digestHex, digestOf, isDigest, parseDigest, verifyDigest } from '../../../lib/oci/digest.ts'

// Of the empty string, from FIPS 180-4's examples.
const kEmpty = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

test('parses sha256 and sha512', () => {
  assert.equal(parseDigest(kEmpty), kEmpty)
  const long = `sha512:${'a'.repeat(128)}`
  assert.equal(digestAlgorithm(parseDigest(long)), 'sha512')
  assert.equal(digestHex(parseDigest(kEmpty)), kEmpty.slice(7))
  assert.ok(isDigest(long))
})

for (const [text, position] of [
  ['', 0],
  ['abc', 3],
  ['md5:d41d8cd98f00b204e9800998ecf8427e', 0],
  [`sha256:${'A'.repeat(64)}`, 7],
  [`sha256:${'a'.repeat(10)}/../${'a'.repeat(50)}`, 17],
  [`sha256:${'a'.repeat(63)}`, 70],
  [`sha512:${'a'.repeat(64)}`, 71],
] as const) {
  test(`refuses ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => parseDigest(text),
      (error) =>
        error instanceof InvalidReferenceError && error.position === position && error.code === 'ERR_INVALID_REFERENCE',
    )
    assert.equal(isDigest(text), false)
  })
}

test('verifies bytes', () => {
  assert.equal(digestOf(''), kEmpty)
  verifyDigest(parseDigest(kEmpty), new Uint8Array(), 'nothing')
  assert.throws(
    () => verifyDigest(parseDigest(kEmpty), Buffer.from('x'), 'manifest'),
    (error) => error instanceof IntegrityError && error.expected === kEmpty && error.actual === digestOf('x'),
  )
})
