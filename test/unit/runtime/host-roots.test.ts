// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseMountinfo } from '../../../lib/host/mountinfo.ts'
import { hostRoots, selectHostRoots } from '../../../lib/runtime/host-roots.ts'

/** Lines of mountinfo from `mount point, type` pairs. */
function entries(...mounts: [mountPoint: string, fsType: string][]) {
  const lines = mounts.map(([point, type], i) => `${i + 20} 1 8:${i} / ${point} rw - ${type} none rw`)
  return parseMountinfo(`${lines.join('\n')}\n`)
}

test('the root first, then file systems of files, parents before what is below them', () => {
  const list = entries(['/', 'ext4'], ['/srv/data', 'xfs'], ['/home', 'btrfs'], ['/srv', 'zfs'])
  assert.deepEqual(selectHostRoots(list), ['/', '/home', '/srv', '/srv/data'])
})

test('what the kernel makes up, or is on a network, is left out', () => {
  const kinds = ['proc', 'sysfs', 'cgroup2', 'tmpfs', 'devtmpfs', 'nsfs', 'fuse.sshfs', 'nfs4', 'autofs']
  const list = entries(['/', 'overlay'], ...kinds.map((kind): [string, string] => [`/x/${kind}`, kind]))
  assert.deepEqual(selectHostRoots(list), ['/'])
})

test('places where a container has its own are left out, names that only begin alike are not', () => {
  const own = ['/proc', '/sys', '/dev', '/run', '/tmp', '/run/media/disk', '/dev/shm']
  const list = entries(['/', 'ext4'], ...own.map((point): [string, string] => [point, 'ext4']), ['/runner', 'ext4'])
  assert.deepEqual(selectHostRoots(list), ['/', '/runner'])
})

test('of mounts on one place the last counts', () => {
  assert.deepEqual(selectHostRoots(entries(['/', 'ext4'], ['/srv', 'ext4'], ['/srv', 'tmpfs'])), ['/'])
  assert.deepEqual(selectHostRoots(entries(['/', 'ext4'], ['/srv', 'tmpfs'], ['/srv', 'ext4'])), ['/', '/srv'])
})

test('this host has a root', async () => {
  assert.equal((await hostRoots())[0], '/')
})
