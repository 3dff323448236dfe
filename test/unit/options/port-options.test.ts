// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidOptionError } from '../../../lib/errors.ts'
import { normalizePorts } from '../../../lib/options/port-options.ts'

const kAny = { host: 0, hostIp: '127.0.0.1', protocol: 'tcp' }

const kGood: [given: unknown, port: object][] = [
  [80, { ...kAny, container: 80 }],
  ['80', { ...kAny, container: 80 }],
  ['8080:80', { ...kAny, container: 80, host: 8080 }],
  ['53:53/UDP', { ...kAny, container: 53, host: 53, protocol: 'udp' }],
  ['0.0.0.0:8080:80/tcp', { ...kAny, container: 80, host: 8080, hostIp: '0.0.0.0' }],
  ['127.0.0.1::80', { ...kAny, container: 80 }],
  ['[::1]:8080:80', { ...kAny, container: 80, host: 8080, hostIp: '::1' }],
  [{ container: 5432 }, { ...kAny, container: 5432 }],
  [
    { container: 53, host: 5353, hostIp: '::', protocol: 'udp' },
    { container: 53, host: 5353, hostIp: '::', protocol: 'udp' },
  ],
]

test('ports are numbers, objects, or text as of Docker', () => {
  for (const [given, port] of kGood) assert.deepEqual(normalizePorts([given]), [port], JSON.stringify(given))
  assert.deepEqual(normalizePorts(undefined), [])
})

test('what is no port is refused', () => {
  const bad: unknown[] = [
    0,
    65_536,
    1.5,
    '',
    'http',
    '80-90',
    '1:2:3',
    '999.1.1.1:1:2',
    '80/sctp',
    '70000:80',
    '80:70000',
    null,
  ]
  bad.push({}, { container: 80, prot: 'tcp' }, { container: 80, host: -1 }, { container: 80, hostIp: 'localhost' })
  for (const each of bad) assert.throws(() => normalizePorts([each]), InvalidOptionError, JSON.stringify(each))
  assert.throws(() => normalizePorts(80), InvalidOptionError)
  assert.throws(() => normalizePorts(Array.from({ length: 257 }, () => 80)), InvalidOptionError)
})
