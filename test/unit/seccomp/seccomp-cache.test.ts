// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseSeccomp, type SeccompChoice } from '../../../lib/oci/build-spec.ts'
import { compileSeccomp } from '../../../lib/oci/seccomp/compile-seccomp.ts'
import { SeccompCache } from '../../../lib/oci/seccomp/seccomp-cache.ts'
import { defaultSeccompProfile } from '../../../lib/oci/seccomp-profile.ts'

const host = { arch: 'x64' as const, kernel: '6.1.0' }
const choice = (changes: Partial<SeccompChoice> = {}): SeccompChoice => ({
  options: { seccomp: 'default', privileged: false },
  host,
  capabilities: [],
  ...changes,
})

test('what is kept is what would be made anew, for every choice', () => {
  const cache = new SeccompCache()
  const profile = defaultSeccompProfile()
  const choices = [
    choice(),
    choice({ capabilities: ['CAP_SYS_ADMIN'] }),
    choice({ imageArchitecture: '386' }),
    choice({ host: { ...host, arch: 'arm64' } }),
    choice({ options: { seccomp: 'unconfined', privileged: false } }),
    choice({ options: { seccomp: 'default', privileged: true } }),
    choice({ options: { seccomp: profile, privileged: true } }),
    choice({ options: { seccomp: profile, privileged: false }, capabilities: ['CAP_BPF'] }),
  ]
  for (const round of [1, 2]) {
    for (const each of choices) {
      const chosen = cache.choose(each)
      assert.deepEqual(chosen, chooseSeccomp(each), `round ${round}`)
      assert.equal(cache.choose(each), chosen)
      if (chosen === undefined) continue
      const program = cache.compile(chosen, each.host.arch)
      assert.deepEqual(program, compileSeccomp(chosen, each.host.arch))
      assert.equal(cache.compile(chosen, each.host.arch), program)
    }
  }
})

test('only an image for 32-bit x86 opens the default filter for its programs', () => {
  assert.deepEqual(chooseSeccomp(choice())?.architectures, ['SCMP_ARCH_X86_64'])
  assert.deepEqual(chooseSeccomp(choice({ imageArchitecture: '386' }))?.architectures, [
    'SCMP_ARCH_X86_64',
    'SCMP_ARCH_X86',
  ])
})
