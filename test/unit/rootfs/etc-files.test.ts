// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type EtcFilesInput, etcFiles } from '../../../lib/rootfs/etc-files.ts'

const input: EtcFilesInput = {
  hostname: 'box',
  network: 'none',
  address: null,
  dns: [],
  extraHosts: [{ host: 'db', address: '10.0.0.5' }],
  hostHosts: '127.0.0.1 localhost\n192.168.0.2 machine',
  hostResolvConf: [
    '# made by something',
    'nameserver 127.0.0.53',
    'nameserver ::1',
    'nameserver fe80::1%eth0',
    'nameserver 192.168.0.1',
    'search example.org',
    'options ndots:2',
    '',
  ].join('\n'),
}

test('in a network namespace of its own', () => {
  assert.deepEqual(etcFiles(input), {
    '/etc/hosts': [
      '127.0.0.1\tlocalhost',
      '::1\tlocalhost ip6-localhost ip6-loopback',
      'fe00::\tip6-localnet',
      'ff00::\tip6-mcastprefix',
      'ff02::1\tip6-allnodes',
      'ff02::2\tip6-allrouters',
      '127.0.0.1\tbox',
      '10.0.0.5\tdb',
      '',
    ].join('\n'),
    '/etc/hostname': 'box\n',
    '/etc/resolv.conf': 'nameserver 192.168.0.1\nsearch example.org\noptions ndots:2\n',
  })
  assert.match(etcFiles({ ...input, address: '10.0.0.9' })['/etc/hosts'], /^10\.0\.0\.9\tbox$/m)
})

test("on the host's network", () => {
  const files = etcFiles({ ...input, network: 'host' })
  assert.equal(files['/etc/hosts'], '127.0.0.1 localhost\n192.168.0.2 machine\n10.0.0.5\tdb\n')
  assert.equal(files['/etc/resolv.conf'], input.hostResolvConf)
})

test('given name servers replace those of the host, and its settings stay', () => {
  for (const network of ['none', 'host'] as const) {
    const text = etcFiles({ ...input, network, dns: ['9.9.9.9', '127.0.0.1'] })['/etc/resolv.conf']
    assert.equal(text, 'nameserver 9.9.9.9\nnameserver 127.0.0.1\nsearch example.org\noptions ndots:2\n')
  }
})

test('a host without these files', () => {
  const bare = { ...input, hostHosts: null, hostResolvConf: null }
  assert.equal(etcFiles(bare)['/etc/resolv.conf'], '')
  assert.match(etcFiles({ ...bare, network: 'host' })['/etc/hosts'], /localhost/)
})
