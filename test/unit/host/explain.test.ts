// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explainFailure, type Failure } from '../../../lib/host/explain.ts'
import type { HostFacts } from '../../../lib/host/facts.ts'

const kFacts: HostFacts = {
  arch: 'x64',
  kernel: '6.1.0',
  boundingCapabilities: [],
  uid: 1000,
  rootful: false,
  cpus: 1,
  memoryBytes: 1,
  cgroupVersion: 'v2',
  userNamespaces: { max: 1, unprivileged: true },
  apparmorRestrictsUserns: false,
  lsm: [],
  overlay: true,
}

function explain(failure: Omit<Failure, 'facts'>, facts: Partial<HostFacts> = {}): string | undefined {
  return explainFailure({ ...failure, facts: { ...kFacts, ...facts } })
}

test('EPERM on a user namespace names the switch that forbids it', () => {
  const failure = { syscall: 'clone3', code: 'EPERM', userNamespace: true }
  assert.match(explain(failure, { userNamespaces: { max: 0, unprivileged: true } }) ?? '', /user\.max_user_namespaces=/)
  const debian = { userNamespaces: { max: 1, unprivileged: false } }
  assert.match(explain(failure, debian) ?? '', /kernel\.unprivileged_userns_clone=1/)
  assert.match(explain(failure, { apparmorRestrictsUserns: true }) ?? '', /apparmor_restrict_unprivileged_userns=0/)
  assert.match(explain(failure) ?? '', /seccomp.*kernel\.unprivileged_userns_clone, user\.max_user_namespaces/)
  // The switches do not bind root.
  assert.match(explain(failure, { ...debian, uid: 0 }) ?? '', /seccomp/)
})

test('other causes have their own action', () => {
  const cases: [Omit<Failure, 'facts'>, Partial<HostFacts>, RegExp][] = [
    [
      { syscall: 'clone3', code: 'ENOSPC', userNamespace: true },
      { userNamespaces: { max: 0, unprivileged: null } },
      /=15000/,
    ],
    [{ syscall: 'clone3', code: 'ENOSPC' }, {}, /user\.max_\*_namespaces/],
    [
      { syscall: 'unshare', code: 'EINVAL', userNamespace: true },
      { userNamespaces: { max: 0, unprivileged: null } },
      /USER_NS/,
    ],
    [{ syscall: 'unshare', code: 'EPERM' }, {}, /CAP_SYS_ADMIN/],
    [{ syscall: 'mount', code: 'ENOSPC' }, {}, /fs\.mount-max/],
    [{ syscall: 'mount', code: 'ENODEV', fsType: 'overlay' }, { overlay: false }, /modprobe overlay/],
    [{ syscall: 'fsconfig', code: 'EINVAL', step: 'overlay' }, {}, /engine root/],
    [{ syscall: 'mount', code: 'ELOOP', fsType: 'overlay' }, {}, /not inside one of the layers/],
    [{ syscall: 'mount', code: 'EPERM', fsType: 'overlay' }, {}, /5\.11/],
    [{ syscall: 'execve', code: 'ENOENT', path: '/usr/bin/newuidmap' }, {}, /uidmap/],
    [{ syscall: 'newgidmap', code: 'EPERM' }, {}, /subgid/],
    [{ syscall: 'write', code: 'EBUSY', path: '/sys/fs/cgroup/cgroup.subtree_control' }, {}, /cgroup\.procs/],
    [{ syscall: 'rmdir', code: 'EBUSY', step: 'cgroup' }, {}, /end the processes/],
    [{ syscall: 'open', code: 'ENODEV', step: 'cgroup' }, {}, /cgroup\.subtree_control/],
    [{ syscall: 'open', code: 'ENODEV', step: 'cgroup' }, { cgroupVersion: 'v1' }, /cgroup_disable/],
    [{ syscall: 'open', code: 'EACCES', path: '/sys/fs/cgroup/x/memory.max' }, {}, /Delegate=yes/],
    [{ syscall: 'mkdir', code: 'EROFS', path: '/sys/fs/cgroup/x' }, { uid: 0 }, /read-write/],
    [{ syscall: 'open', code: 'EMFILE' }, {}, /ulimit -n/],
    [{ syscall: 'open', code: 'ENFILE' }, {}, /fs\.file-max/],
    [{ syscall: 'clone3', code: 'EAGAIN' }, {}, /ulimit -u/],
    [{ syscall: 'prlimit64', code: 'EPERM' }, {}, /CAP_SYS_RESOURCE/],
  ]
  for (const [failure, facts, expected] of cases) {
    const hint = explain(failure, facts)
    assert.match(hint ?? '', expected, JSON.stringify(failure))
    assert.match(hint ?? '', /\.$|…$/, 'a hint is a sentence')
  }
})

test('what no row explains has no hint', () => {
  assert.equal(explain({ syscall: 'open', code: 'ENOENT', path: '/etc/passwd' }), undefined)
  assert.equal(explain({ syscall: 'unshare', code: 'EPERM' }, { boundingCapabilities: ['CAP_SYS_ADMIN'] }), undefined)
  assert.equal(explain({ syscall: 'mount', code: 'EINVAL', fsType: 'proc' }), undefined)
  assert.equal(explain({ syscall: 'unshare', code: 'EINVAL', userNamespace: true }), undefined)
  assert.equal(explain({ syscall: 'mount', code: 'EPERM', fsType: 'overlay' }, { uid: 0 }), undefined)
  assert.equal(
    explain({ syscall: 'setrlimit', code: 'EPERM' }, { boundingCapabilities: ['CAP_SYS_RESOURCE'] }),
    undefined,
  )
})
