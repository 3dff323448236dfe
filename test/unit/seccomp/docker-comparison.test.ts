// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { kCapabilities } from '../../../lib/oci/capabilities.ts'
import { type SeccompArch, seccompArchInfo } from '../../../lib/oci/seccomp/syscall-table.ts'
import { defaultSeccompProfile, type SeccompProfile, selectSeccomp } from '../../../lib/oci/seccomp-profile.ts'
import { needs } from '../../helpers/needs.ts'
import { sharedDataPath } from '../../helpers/package-root.ts'
import { evaluateNaively } from './naive-evaluator.ts'

/** Every difference there is, with its reason. The test fails on any other, and on one that has gone. */
const kDifferences: Readonly<Record<string, string>> = {
  file_getattr: 'allowed: what the ioctl FS_IOC_FSGETXATTR does, which is allowed',
  file_setattr: 'allowed: what the ioctl FS_IOC_FSSETXATTR does, which is allowed',
  uprobe: 'allowed as uretprobe is: the kernel puts both into probed programs, where a refusal would crash them',
}
const kDifferencesWithAdmin: Readonly<Record<string, string>> = {
  ...kDifferences,
  open_tree_attr: 'allowed with CAP_SYS_ADMIN: open_tree and mount_setattr in one call, which are both allowed then',
}

const kArgs = [0n, 8n, 0x20000n, 0x20008n, 38n, 39n, 40n, 41n, 0xffffffffn, 0x10000000n, 0x3d0f00n, 2n ** 63n]

function differing(
  docker: SeccompProfile,
  arch: 'x64' | 'arm64',
  subArch: SeccompArch,
  capabilities: string[],
): string[] {
  const subject = { arch, capabilities, kernel: '6.1.0' }
  const theirs = selectSeccomp(docker, subject)
  const ours = selectSeccomp(defaultSeccompProfile(), subject)
  return [...seccompArchInfo(subArch).numbers].flatMap(([name, nr]) =>
    kArgs.some((arg) => evaluateNaively(ours, subArch, nr, [arg]) !== evaluateNaively(theirs, subArch, nr, [arg]))
      ? [name]
      : [],
  )
}

test('the default profile decides each system call as Docker does, but for the listed ones', (t) => {
  if (!needs(t, 'data:seccomp-docker-default.json')) return
  const docker = JSON.parse(readFileSync(sharedDataPath('seccomp-docker-default.json'), 'utf8')) as SeccompProfile
  for (const [arch, subArch] of [
    ['x64', 'x64'],
    ['x64', 'x86'],
    ['arm64', 'arm64'],
  ] as const) {
    const expect = (capabilities: string[], listed: Readonly<Record<string, string>>): void => {
      const known = Object.keys(listed).filter((name) => seccompArchInfo(subArch).numbers.has(name))
      assert.deepEqual(
        differing(docker, arch, subArch, capabilities).sort(),
        known.sort(),
        `${subArch} ${capabilities}`,
      )
    }
    expect([], kDifferences)
    expect([...kCapabilities], kDifferencesWithAdmin)
    for (const capability of kCapabilities) {
      expect([capability], capability === 'CAP_SYS_ADMIN' ? kDifferencesWithAdmin : kDifferences)
    }
  }
})
