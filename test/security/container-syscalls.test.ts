// SPDX-License-Identifier: MIT
// System calls that the default profile keeps from containers, whatever capabilities and namespaces they have.
// Checked: each row of kTelling answers otherwise with `seccomp: 'unconfined'`, which the second test shows.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seccompArchInfo } from '../../lib/oci/seccomp/syscall-table.ts'
import { needsContainers } from '../integration/rootfs.ts'
import { useAttack } from './container-attacks.ts'

const attack = useAttack()

/** Harmless arguments whose refusal by the kernel itself differs from the filter's. */
const kTelling: readonly string[][] = [
  ['clone3', '0', '0'],
  ['unshare', '0'],
  ['keyctl', '9999'],
  ['add_key', '0', '0', '0', '0', '0'],
  ['request_key', '0', '0', '0', '0'],
  ['io_uring_setup', '0', '0'],
  ['io_uring_enter', '-1', '0', '0', '0', '0', '0'],
  ['userfaultfd', '0x7fffffff'],
  ['move_pages', '0', '0', '0', '0', '0', '0'],
  ['setns', '-1', '0'],
]

/** Refused with and without the filter; the filter must not be the weaker of the two. */
const kDangerous = [
  ...[
    'mount',
    'umount2',
    'pivot_root',
    'fsopen',
    'fsconfig',
    'fsmount',
    'fspick',
    'move_mount',
    'open_tree',
    'mount_setattr',
  ],
  ...[
    'bpf',
    'perf_event_open',
    'kexec_load',
    'init_module',
    'finit_module',
    'delete_module',
    'reboot',
    'swapon',
    'swapoff',
  ],
  ...[
    'settimeofday',
    'clock_settime',
    'acct',
    'quotactl',
    'open_by_handle_at',
    'syslog',
    'lookup_dcookie',
    'nfsservctl',
  ],
  ...['setdomainname', 'sethostname', 'vhangup'],
]

async function answer(name: string, args: readonly string[], seccomp: 'default' | 'unconfined'): Promise<string> {
  const { numbers } = seccompArchInfo(process.arch === 'arm64' ? 'arm64' : 'x64')
  const number = numbers.get(name)
  if (number === undefined) return 'ENOSYS'
  return (await attack.run(['/probe', 'seccomp-probe', String(number), ...args], { seccomp })).stdout.trim()
}

test('the default profile refuses them', async (t) => {
  if (!needsContainers(t)) return
  for (const [name = '', ...args] of [...kTelling, ...kDangerous.map((name) => [name])]) {
    assert.match(await answer(name, args, 'default'), /^(EPERM|ENOSYS)$/, name)
  }
})

test('it is the profile that does', async (t) => {
  if (!needsContainers(t)) return
  for (const [name = '', ...args] of kTelling) {
    const [filtered, free] = [await answer(name, args, 'default'), await answer(name, args, 'unconfined')]
    // A kernel without the call cannot show it.
    if (free !== 'ENOSYS') assert.notEqual(filtered, free, name)
  }
})

test('a call that nobody knows yet is ENOSYS, so that programs fall back', async (t) => {
  if (!needsContainers(t)) return
  assert.equal((await attack.run(['/probe', 'seccomp-probe', '1000'])).stdout, 'ENOSYS\n')
})
