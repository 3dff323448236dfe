// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { arch, release, totalmem } from 'node:os'
import { test } from 'node:test'
import {
  kCapabilityNames,
  kernelAtLeast,
  parseCapabilities,
  readHostFacts,
  readTextFile,
} from '../../../lib/host/facts.ts'

const kFiles: Record<string, string> = {
  '/proc/self/status':
    'Name:\tnode\nUid:\t1000\t1000\t1000\t1000\nCapPrm:\t0000000000000403\nCapBnd:\t00000000000000ff\n',
  '/proc/sys/kernel/osrelease': '6.1.0-18-amd64\n',
  '/proc/meminfo': 'MemTotal:        2048 kB\nMemFree: 1 kB\n',
  '/proc/self/mountinfo': '1 2 0:1 / /c rw - cgroup2 cgroup2 rw\n',
  '/proc/filesystems': 'nodev\tproc\n\text4\n',
  '/proc/sys/user/max_user_namespaces': '15000\n',
  '/proc/sys/kernel/unprivileged_userns_clone': '0\n',
  '/proc/sys/kernel/apparmor_restrict_unprivileged_userns': '1\n',
  '/sys/kernel/security/lsm': 'lockdown,capability,apparmor',
  '/lib/modules/6.1.0-18-amd64/modules.dep': 'kernel/fs/overlayfs/overlay.ko.xz: kernel/lib/x.ko\n',
}

test('facts come from the files alone', async () => {
  const facts = await readHostFacts(async (path) => kFiles[path])
  assert.deepEqual(
    { ...facts, arch: 'x64', cpus: 1 },
    {
      arch: 'x64',
      kernel: '6.1.0-18-amd64',
      // All of the bounding set: the user's processes have it in a user namespace of their own.
      boundingCapabilities: kCapabilityNames.slice(0, 8),
      uid: 1000,
      rootful: false,
      cpus: 1,
      memoryBytes: 2048 * 1024,
      cgroupVersion: 'v2',
      userNamespaces: { max: 15_000, unprivileged: false },
      apparmorRestrictsUserns: true,
      lsm: ['lockdown', 'capability', 'apparmor'],
      overlay: true,
    },
  )
})

test('root can hand on what it holds itself', () => {
  const status = 'Uid:\t0\t0\t0\t0\nCapPrm:\t0000000000000003\nCapBnd:\t00000000000000ff\n'
  assert.deepEqual(parseCapabilities(status), ['CAP_CHOWN', 'CAP_DAC_OVERRIDE'])
})

test('root of a user namespace that maps some ids only is not rootful', async () => {
  const rootful = async (uidMap: string | undefined, gidMap = uidMap): Promise<boolean> => {
    const status = 'Uid:\t0\t0\t0\t0\n'
    const maps = { '/proc/self/uid_map': uidMap, '/proc/self/gid_map': gidMap }
    const files = { ...kFiles, '/proc/self/status': status, ...maps }
    return (await readHostFacts(async (path) => files[path as keyof typeof files])).rootful
  }
  assert.equal(await rootful('         0          0 4294967295\n'), true)
  assert.equal(await rootful(undefined), true)
  assert.equal(await rootful('         0       1000          1\n'), false)
  assert.equal(await rootful('         0 1879048192      65536\n'), false)
  assert.equal(await rootful('         0          0 4294967295\n', '         0       1000          1\n'), false)
})

test('missing files mean missing features', async () => {
  const few = ['/proc/self/status', '/proc/sys/kernel/osrelease']
  const facts = await readHostFacts(async (path) => (few.includes(path) ? kFiles[path] : undefined))
  assert.deepEqual(facts.userNamespaces, { max: 0, unprivileged: null })
  assert.deepEqual(
    [facts.apparmorRestrictsUserns, facts.lsm, facts.overlay, facts.cgroupVersion],
    [null, [], false, 'none'],
  )
  await assert.rejects(
    readHostFacts(async () => undefined),
    { name: 'UnsupportedHostError', hint: /mount proc/ },
  )
})

test('this host', async () => {
  const facts = await readHostFacts()
  assert.equal(facts.arch, arch())
  assert.equal(facts.kernel, release())
  assert.equal(facts.uid, process.geteuid?.())
  assert.equal(facts.memoryBytes, totalmem())
  assert.ok(facts.cpus > 0)
  assert.ok(facts.boundingCapabilities.every((name) => kCapabilityNames.includes(name)))
})

test('capabilities are the bounding set without what the process lacks', () => {
  const all = 'CapPrm:\t000001ffffffffff\nCapBnd:\t000001fffeffffff\n'
  assert.deepEqual(
    kCapabilityNames.filter((name) => !parseCapabilities(all).includes(name)),
    ['CAP_SYS_RESOURCE'],
  )
  assert.equal(kCapabilityNames.length, 41)
  assert.deepEqual(parseCapabilities(''), [])
})

test('kernel releases are compared by number', () => {
  assert.ok(kernelAtLeast('6.10.1', 6, 9))
  assert.ok(kernelAtLeast('6.1.0-18-amd64', 5, 19))
  assert.ok(!kernelAtLeast('5.4.0', 5, 19))
  assert.ok(!kernelAtLeast('strange', 1, 0))
})

test('a file that is not there is not a failure', async () => {
  assert.equal(await readTextFile('/proc/nothing-of-that-name'), undefined)
  await assert.rejects(readTextFile('/proc'), { code: 'EISDIR' })
})
