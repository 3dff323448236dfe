import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultRoot } from '../../../lib/host/paths.ts'

test('the default root follows the user', () => {
  assert.equal(defaultRoot({ uid: 0, env: { XDG_DATA_HOME: '/data', HOME: '/root' } }), '/var/lib/wherry')
  assert.equal(defaultRoot({ uid: 1000, env: { XDG_DATA_HOME: '/data', HOME: '/home/u' } }), '/data/wherry')
  assert.equal(defaultRoot({ uid: 1000, env: { HOME: '/home/u' } }), '/home/u/.local/share/wherry')
  // The XDG specification has relative paths ignored.
  assert.equal(
    defaultRoot({ uid: 1000, env: { XDG_DATA_HOME: 'data', HOME: '/home/u' } }),
    '/home/u/.local/share/wherry',
  )
})
