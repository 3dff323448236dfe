// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from '../../../lib/registry.ts'

test('options of a registry are refused by name before anything is connected', () => {
  const wrong: [option: string, options: object][] = [
    ['auth', { auth: { username: 'nobody' } }],
    ['insecure', { insecure: 'yes' }],
    ['ca', { ca: 5 }],
    ['mirrors', { mirrors: 'mirror.example' }],
    ['mirrors[1]', { mirrors: ['mirror.example', 5] }],
    ['mirrors[0]', { mirrors: ['http://a/b?c'] }],
    ['proxy', { proxy: 'proxy' }],
    ['retries', { retries: -1 }],
    ['stallTimeoutMs', { stallTimeoutMs: 0 }],
    ['options.mirror', { mirror: [] }],
  ]
  for (const [option, options] of wrong) {
    assert.throws(() => new Registry('registry.example', options), { code: 'ERR_INVALID_OPTION', option }, option)
  }
  assert.throws(() => new Registry('not a host'), { code: 'ERR_INVALID_OPTION', option: 'host' })
})
