// SPDX-License-Identifier: MIT
// CVE-2025-31133, CVE-2025-52565, CVE-2025-52881: what is masked must be masked by the real /dev/null, whatever the image or
// another container has done to that name.
// Meant to fail so (not tried): with the image's /dev used as the source of masks, the first test reads /proc/interrupts.
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { kDefaultMaskedPaths, kDefaultReadonlyPaths } from '../../lib/oci/default-mounts.ts'
import { needsContainers } from '../integration/rootfs.ts'
import { useAttack } from './container-attacks.ts'

const attack = useAttack({
  prepare: async (rootfs) => {
    await rm(join(rootfs, 'dev'), { recursive: true, force: true })
    await mkdir(join(rootfs, 'dev'))
    await symlink('/proc/sys/kernel/core_pattern', join(rootfs, 'dev/null'))
    await symlink('/proc/sys/kernel/core_pattern', join(rootfs, 'dev/console'))
    await writeFile(join(rootfs, 'secret'), 'secret of the image')
    await symlink('/proc/interrupts', join(rootfs, 'masked-link'))
  },
})

for (const userns of ['auto', 'host'] as const) {
  test(`/dev/null is the device, and what is masked is empty (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const node = statSync('/dev/null')
    assert.equal((await attack.run(['/probe', 'mode', '/dev/null'], { userns })).stdout.split(' ')[1], '1:3\n')
    for (const path of kDefaultMaskedPaths) {
      const output = await attack.sh(
        `if test -d ${path}; then ls -A ${path}; elif test -e ${path}; then cat ${path}; fi`,
        { userns },
      )
      assert.equal(output, '', path)
    }
    // A container's root changes the owner and mode of its own node only.
    await attack.sh('chmod 666 /dev/null', { userns })
    // Setting the mode that it has already does no harm, and would be seen all the same.
    assert.equal(statSync('/dev/null').ctimeMs, node.ctimeMs)
  })

  test(`masks cannot be taken off or written through (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const output = await attack.sh(
      'umount /proc/interrupts && echo UNMASKED; mount -t proc proc /srv && echo MOUNTED; mount --bind /proc /srv && echo MOUNTED; ' +
        'head -c 4 /proc/interrupts | wc -c; mv /proc/interrupts /proc/x && echo MOVED; echo x > /proc/interrupts || echo refused',
      { userns },
    )
    assert.doesNotMatch(output, /UNMASKED|MOUNTED|MOVED/)
    assert.match(output, /^0$/m)
  })

  test(`read-only paths refuse writes (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    for (const path of kDefaultReadonlyPaths) {
      const output = await attack.sh(`test -e ${path} && grep -c " ${path} ro" /proc/self/mountinfo`, { userns })
      if (output !== '') assert.equal(output, '1\n', path)
    }
    const { stdout } = await attack.run(['/bin/sh', '-c', 'true >> /proc/sysrq-trigger; echo $?'], { userns })
    assert.match(stdout, /^[12]\n$/)
  })

  test(`a path of the image that is masked by option (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const output = await attack.sh('cat /secret; head -c 1 /masked-link', {
      userns,
      maskedPaths: ['/secret', '/masked-link'],
    })
    assert.equal(output, '')
  })
}
