// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { detectCgroupWorld, parseSelfCgroup } from '../../../lib/cgroup/detect.ts'
import { parseMountinfo } from '../../../lib/host/mountinfo.ts'

const kHybrid = `31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro
32 31 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
36 31 0:32 / /mnt/memory rw - cgroup cgroup rw,memory
`

test('a hybrid host has v1 hierarchies first, then the v2 one', () => {
  const world = detectCgroupWorld({
    mounts: parseMountinfo(kHybrid),
    selfCgroup: '3:memory:/user\n2:cpuacct,cpu:/jobs/1\n1:name=systemd:/user.slice\n0::/u\n',
    controllersText: 'hugetlb\n',
    writableDirs: new Set(['/sys/fs/cgroup/memory', '/sys/fs/cgroup/cpu,cpuacct', '/sys/fs/cgroup/unified']),
  })
  assert.equal(world.version, 'hybrid')
  assert.deepEqual(
    world.hierarchies.map(({ version, controllers, name, ownDir, writable }) => [
      version,
      controllers,
      name,
      ownDir,
      writable,
    ]),
    [
      [1, [], 'systemd', '/sys/fs/cgroup/systemd/user.slice', false],
      [1, ['cpu', 'cpuacct'], undefined, '/sys/fs/cgroup/cpu,cpuacct/jobs/1', true],
      [1, ['memory'], undefined, '/sys/fs/cgroup/memory/user', false],
      [2, ['hugetlb'], undefined, '/sys/fs/cgroup/unified/u', true],
    ],
  )
})

test('pure v1, pure v2 and neither are told apart', () => {
  const detect = (mountinfo: string) =>
    detectCgroupWorld({ mounts: parseMountinfo(mountinfo), selfCgroup: '0::/\n', writableDirs: new Set() })
  assert.equal(detect('1 2 0:1 / /c rw - cgroup cgroup rw,memory\n').version, 'v1')
  assert.equal(detect('1 2 0:1 / /c rw - cgroup2 cgroup2 rw\n').version, 'v2')
  assert.deepEqual(detect('1 2 0:1 / /proc rw - proc proc rw\n'), { version: 'none', hierarchies: [] })
})

test('inside a container the mount shows a part of the hierarchy', () => {
  const detect = (ownPath: string) =>
    detectCgroupWorld({
      mounts: parseMountinfo('1 2 0:1 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n'),
      selfCgroup: `0::${ownPath}\n`,
      writableDirs: new Set(['/sys/fs/cgroup']),
    }).hierarchies[0]
  assert.equal(detect('/docker/abc')?.ownDir, '/sys/fs/cgroup')
  assert.equal(detect('/docker/abc/x')?.ownDir, '/sys/fs/cgroup/x')
  assert.equal(detect('/docker/abcd')?.ownDir, undefined)
  // Permissions say yes, but the mount is read-only.
  assert.equal(detect('/docker/abc')?.writable, false)
})

test('of two mounts of one hierarchy, the one that shows its root counts', () => {
  const mounts = parseMountinfo('1 2 0:1 /part /a rw - cgroup2 c rw\n3 2 0:1 / /b rw - cgroup2 c rw\n')
  const world = detectCgroupWorld({ mounts, selfCgroup: '0::/me\n', writableDirs: new Set() })
  assert.deepEqual(
    world.hierarchies.map(({ mountPoint }) => mountPoint),
    ['/b'],
  )
})

test('paths in /proc/self/cgroup may hold colons', () => {
  assert.deepEqual(
    [...parseSelfCgroup('0::/a:b\nnonsense\n5:cpuacct,cpu:/x')],
    [
      ['', '/a:b'],
      ['cpu,cpuacct', '/x'],
    ],
  )
})
