import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { answerError, networkError, printable, redactUrl } from '../../../lib/distribution/answer-error.ts'
import {
  errorCode,
  isTemporaryAnswer,
  networkAttempts,
  parseRetryAfter,
  RetryBudget,
  retryDelayMs,
} from '../../../lib/distribution/retry.ts'
import { NotFoundError, RegistryAuthError, RegistryError } from '../../../lib/errors.ts'

const purpose = { intent: 'Cannot get it', registry: 'r.test' }
const url = new URL('https://r.test/v2/a/manifests/b')

test('tells answers that may change from those that will not', () => {
  for (const status of [408, 429, 500, 502, 503, 504]) assert.ok(isTemporaryAnswer(status, []), `${status}`)
  for (const status of [400, 401, 403, 404, 405, 413, 501, 505]) assert.ok(!isTemporaryAnswer(status, []), `${status}`)
  assert.ok(isTemporaryAnswer(400, ['TOOMANYREQUESTS']))
  assert.ok(!isTemporaryAnswer(500, ['DENIED']))
  assert.ok(isTemporaryAnswer(500, ['UNKNOWN']))
})

test('tells errors of the network that may pass, however deep their code is', () => {
  const withCode = (code: string): Error => Object.assign(new Error(code), { code })
  assert.equal(networkAttempts(withCode('ECONNRESET')), Number.POSITIVE_INFINITY)
  assert.equal(networkAttempts(new Error('x', { cause: withCode('EPIPE') })), Number.POSITIVE_INFINITY)
  assert.equal(networkAttempts(new AggregateError([withCode('ECONNREFUSED')], 'all failed')), 2)
  for (const code of ['ENOTFOUND', 'CERT_HAS_EXPIRED', 'EPROTO', 'ERR_INVALID_ARG_TYPE']) {
    assert.equal(networkAttempts(withCode(code)), 0, code)
  }
  assert.equal(errorCode(undefined), undefined)
  const circular: Error & { cause?: unknown } = new Error('x')
  circular.cause = circular
  assert.equal(errorCode(circular), undefined)
})

test('reads Retry-After in seconds and as a date', () => {
  const now = Date.parse('Wed, 21 Oct 2015 07:28:00 GMT')
  assert.equal(parseRetryAfter('120', now), 120_000)
  assert.equal(parseRetryAfter('Wed, 21 Oct 2015 07:28:05 GMT', now), 5_000)
  assert.equal(parseRetryAfter('Wed, 21 Oct 2015 07:00:00 GMT', now), 0)
  for (const text of [undefined, '', '-1', '1e3', 'soon', '2015-10-21', '9'.repeat(20)]) {
    assert.equal(parseRetryAfter(text, now), undefined, text)
  }
})

test('the pause doubles, has a most, and honours a registry that asks for a reasonable one', () => {
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  fc.assert(
    fc.property(fc.nat(1000), random, (attempt, chance) => {
      const delayMs = retryDelayMs(attempt, undefined, chance) ?? 0
      const full = Math.min(15_000, 500 * 2 ** attempt)
      assert.ok(delayMs >= full / 2 && delayMs <= full)
    }),
  )
  assert.equal(retryDelayMs(9, 0, 0.5), 0)
  assert.equal(retryDelayMs(0, 60_000, 0.5), 60_000)
  assert.equal(retryDelayMs(0, 60_001, 0.5), undefined)
})

test('a budget ends with the error itself, and at once with what is not temporary', async () => {
  const busy = new RegistryError('x', 'y', { method: 'GET', url: '', status: 429, temporary: true, retryAfterMs: 0 })
  const budget = new RetryBudget(2)
  await budget.next(busy, undefined)
  await budget.next(busy, undefined)
  await assert.rejects(budget.next(busy, undefined), busy)
  budget.reset()
  await budget.next(busy, undefined)
  for (const error of [
    new TypeError('x'),
    new NotFoundError('x'),
    new RegistryError('x', 'y', { method: 'GET', url: '' }),
  ]) {
    await assert.rejects(new RetryBudget(9).next(error, undefined), error)
  }
  const reason = new Error('stop')
  await assert.rejects(new RetryBudget(9).next(busy, AbortSignal.abort(reason)), reason)
})

test('errors carry what the registry said, bounded and printable, and no secret', () => {
  const errors = Array.from({ length: 50 }, () => ({
    code: 'DENIED',
    message: `a\u001b[31m${'b'.repeat(1000)}`,
    detail: {},
  }))
  const answer = { headers: {}, method: 'GET', url, hadCredentials: false }
  const denied = answerError(purpose, { ...answer, status: 403, body: Buffer.from(JSON.stringify({ errors })) })
  assert.ok(denied instanceof RegistryAuthError && denied instanceof RegistryError)
  assert.equal(denied.code, 'ERR_REGISTRY_AUTH')
  assert.equal(denied.diagnostics.length, 10)
  assert.ok(denied.message.length < 700 && !denied.message.includes('\u001b'))
  assert.match(denied.hint ?? '', /new Registry\('r\.test'\)\.login/)
  const absent = answerError(
    { ...purpose, subject: 'Tag b of r.test/a' },
    { ...answer, status: 404, body: Buffer.from('<html>') },
  )
  assert.ok(absent instanceof NotFoundError && absent.cause instanceof RegistryError)
  assert.match(absent.message, /^Tag b of r\.test\/a does not exist/)
  const other = answerError(purpose, { ...answer, status: 500, body: Buffer.from('{"details":"wrong"}') })
  assert.match(other.message, /answered 500 \(UNKNOWN: wrong\)/)
  const signed = new URL('https://ada:pw@s3.test/x?X-Amz-Signature=abc&digest=d#f')
  assert.equal(redactUrl(signed), 'https://s3.test/x?X-Amz-Signature=***&digest=d')
  const broken = networkError(
    purpose,
    'GET',
    signed,
    Object.assign(new Error('self-signed'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }),
    1,
  )
  assert.ok(!broken.message.includes('abc') && !broken.message.includes('pw'))
  assert.match(broken.hint ?? '', /certificate authority as ca/)
  assert.equal(printable(' a\r\n\u202eb. '), 'a b')
})
