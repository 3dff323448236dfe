import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseChallenges } from '../../../lib/distribution/challenge.ts'
import { nextLink } from '../../../lib/distribution/link-header.ts'

function plain(headers: string | string[]): [string, Record<string, string>][] {
  return parseChallenges(headers).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])
}

test('reads challenges as registries send them', () => {
  const hub =
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"'
  const parameters = {
    realm: 'https://auth.docker.io/token',
    service: 'registry.docker.io',
    scope: 'repository:a/b:pull,push',
  }
  assert.deepEqual(plain(hub), [['bearer', parameters]])
  assert.deepEqual(plain('Basic realm="a, \\"b\\" c"'), [['basic', { realm: 'a, "b" c' }]])
  assert.deepEqual(plain(['Negotiate', 'BASIC Realm=x']), [
    ['negotiate', {}],
    ['basic', { realm: 'x' }],
  ])
  assert.deepEqual(plain('Negotiate abc==, Bearer realm = https://a/b , service=c, Basic realm="r"'), [
    ['negotiate', {}],
    ['bearer', { realm: 'https://a/b', service: 'c' }],
    ['basic', { realm: 'r' }],
  ])
  assert.deepEqual(plain(', ,Basic realm="x",'), [['basic', { realm: 'x' }]])
  assert.deepEqual(plain('Basic realm="open'), [['basic', {}]])
  assert.deepEqual(plain(''), [])
})

test('every quoted value comes back, and no text makes the parser fail or take long', () => {
  const values = fc.string({ unit: fc.constantFrom(...'a"\\ ,=;:/') })
  fc.assert(
    fc.property(values, values, (realm, scope) => {
      const quote = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`
      const header = `Basic realm=${quote(realm)}, Bearer realm=${quote(realm)}, scope=${quote(scope)}`
      assert.deepEqual(plain(header), [
        ['basic', { realm }],
        ['bearer', { realm, scope }],
      ])
    }),
  )
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => Array.isArray(parseChallenges(text))))
  const start = performance.now()
  for (const text of ['"\\'.repeat(1e6), 'a='.repeat(1e6), ' ,'.repeat(1e6), 'a '.repeat(1e6)]) {
    parseChallenges(`Bearer ${text}`)
    nextLink(`<${text}`)
    nextLink(`<a>${'; a'.repeat(1e6)}`)
  }
  // What looks at each character again for each other one takes an hour.
  assert.ok(performance.now() - start < 30_000)
})

test('finds the next page among links', () => {
  assert.equal(nextLink('</v2/a/tags/list?last=b&n=2>; rel="next"'), '/v2/a/tags/list?last=b&n=2')
  assert.equal(nextLink('<a,b>; rel=prev, <c;d>; title="x, y"; rel="last next"'), 'c;d')
  assert.equal(nextLink(['<a>; rel="first"', '<b>;REL=Next']), 'b')
  assert.equal(nextLink('<a>; rel="nextish"'), undefined)
  assert.equal(nextLink('no link'), undefined)
  assert.equal(nextLink(undefined), undefined)
})
