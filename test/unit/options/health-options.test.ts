// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidOptionError } from '../../../lib/errors.ts'
import { checkHealth, healthCheckOf } from '../../../lib/options/health-options.ts'

const kDefaults = { intervalMs: 30_000, timeoutMs: 30_000, retries: 3, startPeriodMs: 0, startIntervalMs: 5_000 }

test('a string is a shell command, and what is left out has defaults of Docker', () => {
  assert.deepEqual(healthCheckOf(checkHealth({ test: 'true' }), {}), {
    command: ['/bin/sh', '-c', 'true'],
    ...kDefaults,
  })
  assert.deepEqual(healthCheckOf({ test: ['CMD', 'a', 'b'], retries: 1 }, {}), {
    command: ['a', 'b'],
    ...kDefaults,
    retries: 1,
  })
})

test("the image's check holds where the option says nothing; its times are nanoseconds, and zero is the default", () => {
  const image = {
    Healthcheck: { Test: ['CMD-SHELL', 'curl x'], Interval: 2e9, Timeout: 0, StartPeriod: 1e9, Retries: 0 },
    Shell: ['/bin/bash', '-ec'],
  }
  const expected = { command: ['/bin/bash', '-ec', 'curl x'], ...kDefaults, intervalMs: 2_000, startPeriodMs: 1_000 }
  assert.deepEqual(healthCheckOf(undefined, image), expected)
  assert.deepEqual(healthCheckOf({ timeoutMs: 7 }, image), { ...expected, timeoutMs: 7 })
})

test('there may be none', () => {
  assert.equal(healthCheckOf(undefined, {}), undefined)
  assert.equal(healthCheckOf({ test: ['NONE'] }, { Healthcheck: { Test: ['CMD', 'x'] } }), undefined)
  assert.equal(healthCheckOf(undefined, { Healthcheck: { Test: ['NONE'] } }), undefined)
})

test('what cannot be meant is refused', () => {
  for (const bad of [1, { tests: 'x' }, { test: 5 }, { test: 'x', intervalMs: 0 }, { test: 'x', retries: 1.5 }]) {
    assert.throws(() => checkHealth(bad), InvalidOptionError)
  }
  for (const test of [['CMD'], ['CMD-SHELL'], ['CMD-SHELL', ''], ['CMD-SHELL', 'a', 'b'], ['curl', 'x'], '']) {
    assert.throws(() => healthCheckOf({ test }, {}), InvalidOptionError)
  }
  assert.throws(() => healthCheckOf({ intervalMs: 5 }, {}), /the image has no check/)
})
