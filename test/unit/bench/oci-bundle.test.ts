// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bundleConfig, kDefaultCapabilities } from '../../../bench/oci-bundle.ts'
import { countSeccompEntries, resolveDockerSeccomp } from '../../../bench/seccomp.ts'

const kSource = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: 1,
  syscalls: [
    { names: ['read', 'write'], action: 'SCMP_ACT_ALLOW' },
    { names: ['ptrace'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '4.8' } },
    { names: ['arch_prctl'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['amd64', 'x32'] } },
    { names: ['chroot'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_CHROOT'] } },
    { names: ['mount'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38, excludes: { caps: ['CAP_SYS_ADMIN'] } },
  ],
}

const namesFor = (arch: string, caps: readonly string[]) =>
  resolveDockerSeccomp(kSource, arch, caps).syscalls.flatMap((rule) => rule.names)

test('resolveDockerSeccomp applies conditions on architecture and capabilities', () => {
  assert.deepEqual(namesFor('x64', kDefaultCapabilities), ['read', 'write', 'ptrace', 'arch_prctl', 'chroot', 'clone3'])
  assert.deepEqual(namesFor('arm64', ['CAP_SYS_ADMIN']), ['read', 'write', 'ptrace', 'mount'])
})

test('resolveDockerSeccomp leaves conditions out and keeps errnoRet', () => {
  const profile = resolveDockerSeccomp(kSource, 'x64', kDefaultCapabilities)
  assert.deepEqual(profile.architectures, ['SCMP_ARCH_X86_64'])
  assert.deepEqual(profile.syscalls.at(-1), { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 })
  assert.equal(countSeccompEntries(profile), 6)
})

test('resolveDockerSeccomp refuses an architecture that it does not know', () => {
  assert.throws(() => resolveDockerSeccomp(kSource, 'mips', []), RangeError)
})

test('bundleConfig unshares everything and maps the user namespace', () => {
  const config = bundleConfig({ rootfs: '/r', args: ['/bin/true'], cgroupsPath: '/c', firstHostId: 100_000 })
  const { linux } = config as { linux: { namespaces: { type: string }[]; uidMappings: unknown; seccomp?: unknown } }
  const types = linux.namespaces.map((namespace) => namespace.type).sort()
  assert.deepEqual(types, ['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts'])
  assert.deepEqual(linux.uidMappings, [{ containerID: 0, hostID: 100_000, size: 65_536 }])
  assert.equal('seccomp' in linux, false)
})
