// SPDX-License-Identifier: MIT
// CVE-2021-30465, CVE-2019-19921: a mount target that is a symbolic link of the image, and swapped while it is used.
// Meant to fail so (not tried): with mount targets opened by plain openat() the first test mounts over a directory of the host.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { mkdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { needsContainers } from '../integration/rootfs.ts'
import { useAttack } from './container-attacks.ts'

const attack = useAttack({
  prepare: async (rootfs) => {
    await symlink('/', join(rootfs, 'to-root'))
    await symlink('../../../../../../..', join(rootfs, 'up'))
    await symlink('/proc/1/root', join(rootfs, 'proc-root'))
    await symlink('/proc/self/cwd', join(rootfs, 'proc-cwd'))
    await mkdir(join(rootfs, 'swap'))
    // What is mounted by default may be links, too.
    for (const name of ['proc', 'sys', 'dev']) await symlink('/srv', join(rootfs, name))
    await rm(join(rootfs, 'etc/hostname'), { force: true })
    await symlink('/srv/hello', join(rootfs, 'etc/hostname'))
    await symlink('/srv/hello', join(rootfs, 'etc/resolv.conf'))
  },
})

for (const userns of ['auto', 'host'] as const) {
  for (const link of ['to-root', 'up']) {
    test(`a target behind the link ${link} stays in the container (userns ${userns})`, async (t) => {
      if (!needsContainers(t)) return
      const victim = mkdtempSync(join(attack.dir, 'victim-'))
      writeFileSync(join(victim, 'mine'), 'mine')
      const target = `/${link}${victim}`
      const { stdout } = await attack.run(['/bin/sh', '-c', `touch ${victim}/planted; ls ${victim}`], {
        userns,
        mounts: [{ type: 'tmpfs', target }],
      })
      assert.equal(stdout, 'planted\n')
      assert.deepEqual(readdirSync(victim), ['mine'])
    })
  }

  test(`a target behind a magic link is refused (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    for (const target of ['/proc-root/tmp', '/proc-cwd/tmp', '/proc/1/root/tmp', '/proc/self/fd/3/tmp']) {
      const run = attack.run(['/bin/true'], { userns, mounts: [{ type: 'tmpfs', target }] })
      await assert.rejects(run, { name: /^(ContainerStartError|InvalidOptionError)$/ }, target)
    }
  })

  test(`links of the image in place of /proc, /sys, /dev and /etc files are covered (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const output = await attack.sh(
      'cat /srv/hello; stat -f -c %T /proc; for i in proc sys dev; do test -L /$i && echo link; done',
      { userns },
    )
    assert.match(output, /^hello from the image\nproc\n$/)
  })
}
