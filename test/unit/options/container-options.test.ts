// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { InvalidOptionError } from '../../../lib/errors.ts'
import { normalizeContainerOptions } from '../../../lib/options/container-options.ts'

const normalize = (options: object): ReturnType<typeof normalizeContainerOptions> =>
  normalizeContainerOptions(['true'], options)

/** Checks that options are refused, that the message names the option, and what else it says. */
function assertRefused(options: object, option: string, message = /./): void {
  assert.throws(
    () => normalize(options),
    (error) => {
      assert.ok(error instanceof InvalidOptionError, inspect(error))
      assert.equal(error.option, option)
      assert.match(error.message, message)
      return true
    },
  )
}

test('nothing given: the defaults', () => {
  assert.deepEqual(normalizeContainerOptions(null), {
    command: null,
    entrypoint: null,
    env: new Map(),
    cwd: null,
    user: null,
    groups: [],
    hostname: null,
    tty: false,
    init: false,
    stopSignal: null,
    memoryBytes: null,
    memoryReservationBytes: null,
    memorySwapBytes: null,
    cpus: null,
    cpuShares: null,
    cpuset: null,
    pids: null,
    ulimits: [],
    oomScoreAdj: null,
    shmSizeBytes: 64 * 1024 ** 2,
    userns: 'auto',
    capabilities: { add: [], drop: [] },
    seccomp: 'default',
    noNewPrivileges: true,
    maskedPaths: null,
    readonlyPaths: null,
    sysctls: {},
    privileged: false,
    network: 'none',
    ports: [],
    dns: [],
    extraHosts: [],
    name: null,
    labels: {},
    platform: null,
    stopTimeoutMs: 10_000,
    timeoutMs: null,
    maxOutputBytes: 100 * 1024 ** 2,
    reject: true,
    encoding: 'utf8',
    limits: 'strict',
    signal: null,
    onStart: null,
    mounts: [],
    readOnly: false,
    stdin: { kind: 'ignore' },
    stdout: 'pipe',
    stderr: 'pipe',
    engine: undefined,
  })
})

test('an unknown option is named, with the nearest one that exists', () => {
  assertRefused({ memmory: '1g' }, 'memmory', /did you mean 'memory'\?/)
  assertRefused({ maxBuffer: 1 }, 'maxBuffer', /did you mean 'maxOutputBytes'\?/)
  assertRefused({ Binds: ['/a:/b'] }, 'Binds', /did you mean 'mounts'\?/)
  assertRefused({ timeout: 5 }, 'timeout', /known option name/)
  assertRefused({ readonly: true }, 'readonly', /'readOnly'/)
  assertRefused({ capabilities: { ad: [] } }, 'capabilities.ad', /'add'/)
  assertRefused({ mounts: [{ type: 'bind', src: '/a', target: '/b' }] }, 'mounts[0].src', /'source'/)
  assertRefused({ memoryLimit: '1g' }, 'memoryLimit', /did you mean 'memory'\?/)
  assertRefused({ enviroment: {} }, 'enviroment', /did you mean 'env'\?/)
  assertRefused({ ulimits: { nofiles: 1 } }, 'ulimits.nofiles', /'nofile'/)
  assertRefused({ network: 'hots' }, 'network', /'host'/)
  assertRefused({ command: ['x'] }, 'command', /second argument/)
  assertRefused({ zzzzzzzzz: 1 }, 'zzzzzzzzz', /^((?!did you mean).)*$/)
})

test('values of the wrong kind or out of range are refused', () => {
  const refused: [object, string][] = [
    [{ tty: 'yes' }, 'tty'],
    [{ cwd: 'relative' }, 'cwd'],
    [{ cwd: '/a\0b' }, 'cwd'],
    [{ hostname: 'no spaces' }, 'hostname'],
    [{ hostname: 'x'.repeat(65) }, 'hostname'],
    [{ user: 'a:b:c' }, 'user'],
    [{ user: -1 }, 'user'],
    [{ user: 2 ** 32 - 1 }, 'user'],
    [{ groups: ['a:b'] }, 'groups[0]'],
    [{ stopSignal: 'SIGNOPE' }, 'stopSignal'],
    [{ stopTimeoutMs: -1 }, 'stopTimeoutMs'],
    [{ timeoutMs: Number.NaN }, 'timeoutMs'],
    [{ timeoutMs: 2 ** 31 }, 'timeoutMs'],
    [{ maxOutputBytes: 1.5 }, 'maxOutputBytes'],
    [{ signal: 'SIGTERM' }, 'signal'],
    [{ memory: '5m' }, 'memory'],
    [{ memory: 'lots' }, 'memory'],
    [{ memory: null }, 'memory'],
    [{ memory: '10m', memorySwap: '9m' }, 'memorySwap'],
    [{ memorySwap: '10m' }, 'memorySwap'],
    [{ memory: '10m', memoryReservation: '11m' }, 'memoryReservation'],
    [{ cpus: 0 }, 'cpus'],
    [{ cpus: '1' }, 'cpus'],
    [{ cpuShares: 1 }, 'cpuShares'],
    [{ cpuset: '3-1' }, 'cpuset'],
    [{ pids: 0 }, 'pids'],
    [{ ulimits: { nofile: { soft: 2, hard: 1 } } }, 'ulimits.nofile'],
    [{ ulimits: { nofile: { soft: -1, hard: 1 } } }, 'ulimits.nofile'],
    [{ ulimits: { nofile: { soft: 1 } } }, 'ulimits.nofile.hard'],
    [{ ulimits: { nofile: 1, RLIMIT_NOFILE: 2 } }, 'ulimits'],
    [{ oomScoreAdj: 1001 }, 'oomScoreAdj'],
    [{ shmSize: 0 }, 'shmSize'],
    [{ userns: 'private' }, 'userns'],
    [{ capabilities: { add: ['NET_ADMINN'] } }, 'capabilities.add[0]'],
    [{ capabilities: { add: ['ALL'], drop: ['all'] } }, 'capabilities'],
    [{ seccomp: './profile.json' }, 'seccomp'],
    [{ seccomp: {} }, 'seccomp.defaultAction'],
    [{ maskedPaths: ['proc'] }, 'maskedPaths[0]'],
    [{ dns: ['dns.example'] }, 'dns[0]'],
    [{ extraHosts: { box: 'nowhere' } }, 'extraHosts.box'],
    [{ extraHosts: { 'a b': '10.0.0.1' } }, 'extraHosts.a b'],
    [{ name: 'x' }, 'name'],
    [{ labels: { a: 1 } }, 'labels.a'],
    [{ platform: 'arm64' }, 'platform'],
    [{ encoding: 'utf9' }, 'encoding'],
    [{ stdin: 'some text' }, 'stdin'],
    [{ stdin: 'pipe', input: 'x' }, 'input'],
    [{ stdout: 'file' }, 'stdout'],
    [{ mounts: [{ type: 'bind', source: 'rel', target: '/t' }] }, 'mounts[0].source'],
    [{ mounts: [{ type: 'bind', source: '/s', target: 't' }] }, 'mounts[0].target'],
    [{ mounts: [{ type: 'bind', source: '/s', target: '/' }] }, 'mounts[0].target'],
    [{ mounts: [{ type: 'bind', source: '/s', target: '/x/../proc/self' }] }, 'mounts[0].target'],
    [{ mounts: [{ type: 'volumes', target: '/t' }] }, 'mounts[0].type'],
    [{ mounts: [{ type: 'volume', source: './dir', target: '/t' }] }, 'mounts[0].source'],
    [{ mounts: [{ type: 'volume', source: 'name', target: '/t', subpath: 'a/../..' }] }, 'mounts[0].subpath'],
    [
      {
        mounts: [
          { type: 'tmpfs', target: '/t' },
          { type: 'tmpfs', target: '/t/' },
        ],
      },
      'mounts[1].target',
    ],
    [{ mounts: [{ type: 'tmpfs', target: '/t', mode: 0o10000 }] }, 'mounts[0].mode'],
  ]
  for (const [options, option] of refused) assertRefused(options, option)
})

test('a command line in one string is refused with the way to write it', () => {
  assert.throws(() => normalizeContainerOptions('echo hi' as never), {
    option: 'command',
    message: /\['sh', '-c', line\]/,
  })
  assert.throws(() => normalizeContainerOptions(['a\0b']), { option: 'command[0]' })
})

test('only kernel settings of the namespaces are taken', () => {
  const { sysctls } = normalize({
    sysctls: { 'net.core.somaxconn': 1024, 'kernel.sem': '1 2 3 4', 'fs.mqueue.msg_max': '9' },
  })
  assert.deepEqual(sysctls, { 'fs.mqueue.msg_max': '9', 'kernel.sem': '1 2 3 4', 'net.core.somaxconn': '1024' })
  for (const name of [
    'kernel.core_pattern',
    'vm.swappiness',
    'net..x',
    'net/../kernel/core_pattern',
    'net.',
    'net',
    '',
  ]) {
    assertRefused({ sysctls: { [name]: '1' } }, `sysctls.${name}`)
  }
  assertRefused({ sysctls: { 'kernel.hostname': 'x' } }, 'sysctls.kernel.hostname', /'hostname'/)
  assertRefused({ sysctls: { 'net.core.somaxconn': '1' }, network: 'host' }, 'sysctls.net.core.somaxconn')
})

test('an error never repeats a value of the environment or of the input', () => {
  const secret = 'hunter2-hunter2'
  for (const options of [
    { env: { TOKEN: `${secret}\0` } },
    { env: { TOKEN: [secret] } },
    { env: { [`A=${secret}`]: 'x' } },
    { stdin: secret },
    { stdin: 'pipe', input: secret },
    { command: [secret] },
  ]) {
    assert.throws(
      () => normalize(options),
      (error) => !inspect(error, { depth: 9 }).includes(secret),
    )
  }
})

test('values are brought into one form', () => {
  const given = normalize({
    entrypoint: '/bin/sh',
    env: { A: '1', B: undefined },
    cwd: '/a//b/../c/',
    user: 1000,
    groups: [5, 'audio'],
    stopSignal: 'int',
    memory: '256m',
    memorySwap: -1,
    cpuset: '0-1, 3',
    pids: -1,
    ulimits: { nofile: 1024, RLIMIT_CORE: { soft: 0, hard: Number.POSITIVE_INFINITY } },
    capabilities: { add: ['net_admin', 'all'], drop: ['CAP_CHOWN'] },
    privileged: true,
    input: 'héllo',
    maxOutputBytes: Number.POSITIVE_INFINITY,
    mounts: [{ type: 'bind', source: '/s/', target: '/proc/cpuinfo' }],
  })
  assert.deepEqual(given.entrypoint, ['/bin/sh'])
  assert.deepEqual(
    [...given.env],
    [
      ['A', '1'],
      ['B', null],
    ],
  )
  assert.equal(given.cwd, '/a/c')
  assert.equal(given.user, '1000')
  assert.deepEqual(given.groups, ['5', 'audio'])
  assert.equal(given.stopSignal, 2)
  assert.deepEqual([given.memoryBytes, given.memorySwapBytes], [268_435_456, -1])
  assert.equal(given.cpuset, '0-1,3')
  assert.equal(given.pids, null)
  assert.deepEqual(given.ulimits, [
    { type: 'RLIMIT_CORE', soft: 0, hard: -1 },
    { type: 'RLIMIT_NOFILE', soft: 1024, hard: 1024 },
  ])
  assert.deepEqual(given.capabilities, { add: ['CAP_NET_ADMIN', 'ALL'], drop: ['CAP_CHOWN'] })
  assert.equal(given.noNewPrivileges, false)
  assert.deepEqual(given.stdin, { kind: 'bytes', bytes: Buffer.from('héllo') })
  assert.deepEqual(given.mounts[0], {
    type: 'bind',
    source: '/s',
    target: '/proc/cpuinfo',
    readOnly: false,
    recursive: true,
    propagation: 'rprivate',
    noExec: false,
    subpath: null,
  })
})

test('whatever is given, the answer is options or an InvalidOptionError', () => {
  const names = Object.keys(normalizeContainerOptions(null)).concat('memory', 'shmSize', 'input', 'cap')
  const anything = fc.dictionary(fc.constantFrom(...names), fc.anything(), { maxKeys: 4 })
  void fc.assert(
    fc.property(anything, (options) => {
      try {
        normalize(options)
      } catch (error) {
        assert.ok(error instanceof InvalidOptionError, inspect(error))
      }
    }),
  )
})
