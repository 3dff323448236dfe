// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Ajv } from 'ajv'
import * as fc from 'fast-check'
import { InvalidOptionError } from '../../../lib/errors.ts'
import { type BuildSpecInput, buildRuntimeSpec } from '../../../lib/oci/build-spec.ts'
import { kCapabilities, kDefaultCapabilities } from '../../../lib/oci/capabilities.ts'
import type { ImageRunConfig } from '../../../lib/oci/merge-config.ts'
import { type RuntimeSpec, serializeRuntimeSpec } from '../../../lib/oci/runtime-spec.ts'
import { type ContainerOptions, normalizeContainerOptions } from '../../../lib/options/container-options.ts'
import { needs } from '../../helpers/needs.ts'
import { sharedDataPath } from '../../helpers/package-root.ts'

const kSchemas = sharedDataPath('runtime-spec-schema')
const kRoot = { uid: 0, gid: 0, additionalGids: [0], home: '/root', name: 'root' }
const kIdMap = [{ containerId: 0, hostId: 100_000, size: 65_536 }]

function build(
  options: ContainerOptions = {},
  changes: Partial<BuildSpecInput> = {},
  image: ImageRunConfig = {},
): RuntimeSpec {
  return buildRuntimeSpec({
    options: normalizeContainerOptions(['true'], options),
    imageConfig: { config: image },
    user: kRoot,
    host: { arch: 'x64', kernel: '6.1.0', boundingCapabilities: kCapabilities, cpus: 4 },
    rootfsPath: '/run/root',
    hostname: 'box',
    cgroupsPath: '/wherry/box',
    idMap: kIdMap,
    ...changes,
  })
}

function schemaValidator(): (spec: unknown) => string {
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false, logger: false })
  const read = (name: string): object =>
    JSON.parse(
      readFileSync(join(kSchemas, name), 'utf8').replaceAll(
        'http://json-schema.org/draft-04/schema#',
        'http://json-schema.org/draft-07/schema#',
      ),
    ) as object
  for (const part of ['linux', 'freebsd', 'solaris', 'vm', 'windows', 'zos']) {
    ajv.addSchema(read(`config-${part}.json`), `config-${part}.json`)
    if (part !== 'solaris') ajv.addSchema(read(`defs-${part}.json`), `defs-${part}.json`)
  }
  ajv.addSchema(read('defs.json'), 'defs.json')
  const validate = ajv.compile(read('config-schema.json'))
  return (spec) => (validate(spec) ? '' : ajv.errorsText(validate.errors))
}

const options: fc.Arbitrary<ContainerOptions> = fc.record(
  {
    env: fc.dictionary(fc.stringMatching(/^[A-Z_]{1,8}$/), fc.stringMatching(/^[^\0]*$/)),
    cwd: fc.constantFrom('/', '/srv/app', '/a//b/../c/'),
    tty: fc.boolean(),
    init: fc.boolean(),
    readOnly: fc.boolean(),
    privileged: fc.boolean(),
    noNewPrivileges: fc.boolean(),
    network: fc.constantFrom('none', 'host'),
    memory: fc.constantFrom('64m', '1.5g'),
    cpus: fc.constantFrom(0.01, 0.5, 4),
    cpuset: fc.constantFrom('0', '0-3'),
    pids: fc.constantFrom(1, 64, -1),
    shmSize: fc.constantFrom('1m', 1),
    oomScoreAdj: fc.integer({ min: -1000, max: 1000 }),
    ulimits: fc.constantFrom({}, { nofile: 1024, core: { soft: 0, hard: -1 }, memlock: Number.POSITIVE_INFINITY }),
    capabilities: fc.record({
      add: fc.subarray(['NET_ADMIN', 'SYS_ADMIN', 'CAP_BPF']),
      drop: fc.subarray(['ALL', 'CHOWN', 'mknod']),
    }),
    seccomp: fc.constantFrom('default', 'unconfined'),
    mounts: fc.constantFrom<NonNullable<ContainerOptions['mounts']>[number][]>(
      [],
      [
        { type: 'bind', source: '/srv/data', target: '/a/b/c', readOnly: true },
        { type: 'tmpfs', target: '/a', size: '1m' },
      ],
    ),
  },
  { requiredKeys: [] },
)

test('any options give a configuration that the standard allows, and the same one again', (t) => {
  if (!needs(t, 'data:runtime-spec-schema')) return
  const errors = schemaValidator()
  assert.match(errors({ ociVersion: 1 }), /ociVersion/, 'the schema does refuse something')
  void fc.assert(
    fc.property(options, fc.constantFrom(kIdMap, null), fc.constantFrom(null, '/x'), (given, idMap, cgroupsPath) => {
      const text = serializeRuntimeSpec(build(given, { idMap, cgroupsPath }))
      assert.equal(errors(JSON.parse(text)), '')
      assert.equal(serializeRuntimeSpec(build(given, { idMap, cgroupsPath })), text)
    }),
    { numRuns: 100 },
  )
})

test('the default configuration', () => {
  const { seccomp, ...linux } = build().linux
  assert.equal(seccomp?.defaultAction, 'SCMP_ACT_ERRNO')
  assert.deepEqual(linux, {
    uidMappings: [{ containerID: 0, hostID: 100_000, size: 65_536 }],
    gidMappings: [{ containerID: 0, hostID: 100_000, size: 65_536 }],
    sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0' },
    resources: linux.resources,
    cgroupsPath: '/wherry/box',
    namespaces: ['mount', 'network', 'uts', 'pid', 'ipc', 'cgroup', 'user'].map((type) => ({ type })),
    maskedPaths: linux.maskedPaths,
    readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
  })
  assert.deepEqual(Object.keys(linux.resources ?? {}), ['devices'])
  const { process, mounts } = build()
  assert.deepEqual(process, {
    terminal: false,
    user: { uid: 0, gid: 0, additionalGids: [0] },
    args: ['true'],
    env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOSTNAME=box', 'HOME=/root'],
    cwd: '/',
    capabilities: {
      bounding: kCapabilities.filter((name) => kDefaultCapabilities.includes(name)),
      effective: process.capabilities?.bounding,
      inheritable: [],
      permitted: process.capabilities?.bounding,
      ambient: [],
    },
    noNewPrivileges: true,
  })
  assert.deepEqual(
    mounts.map(({ destination, options = [] }) => `${destination} ${options.join(',')}`),
    [
      '/proc nosuid,noexec,nodev',
      '/dev nosuid,strictatime,mode=755,size=65536k',
      '/dev/pts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5',
      '/sys nosuid,noexec,nodev,ro',
      '/sys/fs/cgroup ro,nosuid,noexec,nodev',
      '/dev/mqueue nosuid,noexec,nodev',
      '/dev/shm nosuid,noexec,nodev,mode=1777,size=67108864',
    ],
  )
})

test('another user than root starts without capabilities, within the same bounding set', () => {
  const user = { uid: 1000, gid: 1000, additionalGids: [1000], home: '/home/me', name: 'me' }
  const { capabilities, env } = build({}, { user }).process
  assert.deepEqual(capabilities?.effective, [])
  assert.deepEqual(capabilities?.permitted, [])
  assert.equal(capabilities?.bounding.length, kDefaultCapabilities.length)
  assert.ok(env.includes('HOME=/home/me'))
})

test('a user outside of the mapped ids is refused', () => {
  const user = { ...kRoot, uid: 70_000 }
  assert.throws(() => build({}, { user }), { name: 'InvalidOptionError', option: 'user', code: 'ERR_INVALID_OPTION' })
  assert.throws(() => build({}, { user: { ...kRoot, additionalGids: [0, 70_000] } }), InvalidOptionError)
  assert.equal(build({}, { user, idMap: null }).process.user.uid, 70_000)
})

test('privileged lifts filter, masks and read-only mounts, and keeps the user namespace', () => {
  const spec = build({ privileged: true })
  assert.equal(spec.linux.seccomp, undefined)
  assert.deepEqual(spec.linux.maskedPaths, [])
  assert.deepEqual(spec.linux.readonlyPaths, [])
  assert.deepEqual(spec.process.capabilities?.bounding, kCapabilities)
  assert.equal(spec.process.noNewPrivileges, false)
  assert.ok(spec.linux.namespaces.some(({ type }) => type === 'user'))
  assert.ok(!spec.mounts.some(({ options }) => options?.includes('ro')))
})

test('no capability beyond those that the host can hand on', () => {
  const host = { arch: 'x64' as const, kernel: '6.1.0', boundingCapabilities: ['CAP_CHOWN', 'CAP_NET_ADMIN'], cpus: 1 }
  const bounding = (given: ContainerOptions): string[] => build(given, { host }).process.capabilities?.bounding ?? []
  assert.deepEqual(bounding({}), ['CAP_CHOWN'])
  assert.deepEqual(bounding({ capabilities: { add: ['ALL'] } }), ['CAP_CHOWN', 'CAP_NET_ADMIN'])
  assert.deepEqual(bounding({ privileged: true }), ['CAP_CHOWN', 'CAP_NET_ADMIN'])
})

test("the host's network: no namespace, and in a user namespace the host's /sys is bound", () => {
  const spec = build({ network: 'host' })
  assert.ok(!spec.linux.namespaces.some(({ type }) => type === 'network'))
  assert.deepEqual(spec.linux.sysctl, {})
  assert.equal(spec.mounts.find(({ destination }) => destination === '/sys')?.type, 'bind')
  const onHost = build({ network: 'host' }, { idMap: null })
  assert.equal(onHost.mounts.find(({ destination }) => destination === '/sys')?.type, 'sysfs')
})

test('a single mapped id: no terminal group, which the kernel would refuse', () => {
  const single = [{ containerId: 0, hostId: 1000, size: 1 }]
  const pts = build({}, { idMap: single }).mounts.find(({ destination }) => destination === '/dev/pts')
  assert.ok(!pts?.options?.includes('gid=5'))
})

test('mounts: a default one gives way, and parents come before children', () => {
  const spec = build({
    mounts: [
      { type: 'tmpfs', target: '/data/deep/er' },
      { type: 'bind', source: '/srv', target: '/data', readOnly: true },
      { type: 'tmpfs', target: '/dev/shm', size: '1m' },
    ],
  })
  const own = spec.mounts.slice(-3)
  assert.deepEqual(
    own.map(({ destination }) => destination),
    ['/data', '/dev/shm', '/data/deep/er'],
  )
  assert.deepEqual(own[0]?.options, ['rbind', 'rro', 'rprivate'])
  assert.deepEqual(own[1]?.options, ['nosuid', 'nodev', 'noexec', 'rw', 'mode=1777', 'size=1048576'])
  assert.equal(spec.mounts.filter(({ destination }) => destination === '/dev/shm').length, 1)
})

test('limits become cgroup settings', () => {
  const { resources } = build({ memory: '256m', cpus: 0.5, cpuShares: 512, cpuset: '0-1', pids: 64 }).linux
  assert.deepEqual(resources?.memory, { limit: 268_435_456, swap: 536_870_912 })
  assert.deepEqual(resources?.cpu, { shares: 512, quota: 50_000, period: 100_000, cpus: '0-1' })
  assert.deepEqual(resources?.pids, { limit: 64 })
  assert.throws(() => build({ cpus: 5 }), { option: 'cpus', message: /at most the 4 that this host has/ })
  assert.equal(build({ cpus: 5, limits: 'best-effort' }).linux.resources?.cpu?.quota, 400_000)
})

test('no limit is written as the kernel counts it, and text that looks like it is left alone', () => {
  const env = { TRAP: '{"soft":18446744073709552000' }
  const text = serializeRuntimeSpec(build({ ulimits: { core: -1 }, env }))
  assert.match(text, /"type":"RLIMIT_CORE","soft":18446744073709551615,"hard":18446744073709551615/)
  assert.deepEqual((JSON.parse(text) as RuntimeSpec).process.env[2], `TRAP=${env.TRAP}`)
})
