// SPDX-License-Identifier: MIT
// CVE-2024-21626: a descriptor or working directory of the host inherited by the container.
// Checked: without the step close_others the first test lists descriptors of the host's.
import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { needsContainers } from '../integration/rootfs.ts'
import { useAttack } from './container-attacks.ts'

const attack = useAttack({
  prepare: async (rootfs) => {
    await symlink('/proc/self/fd', join(rootfs, 'fds'))
    for (let fd = 3; fd < 64; fd++) await symlink(`/proc/self/fd/${fd}`, join(rootfs, `fd-${fd}`))
  },
})

for (const userns of ['auto', 'host'] as const) {
  for (const init of [false, true]) {
    test(`no descriptor above 2 (userns ${userns}, init ${init})`, async (t) => {
      if (!needsContainers(t)) return
      const leaky = openSync('/', 'r')
      try {
        const { stdout } = await attack.run(['/probe', 'fds'], { userns, init })
        const lines = stdout.trim().split('\n')
        assert.deepEqual(
          lines.map((line) => line.split(' ')[0]),
          ['0', '1', '2'],
          stdout,
        )
        for (const line of lines) assert.match(line, /^\d (\/dev\/null|pipe:\[\d+\]|socket:\[\d+\])$/)
        if (init) assert.doesNotMatch(await attack.sh('ls /proc/1/fd', { userns, init }), /[3-9]/)
      } finally {
        closeSync(leaky)
      }
    })
  }

  test(`a working directory behind a descriptor of the host is refused (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    for (let fd = 3; fd < 40; fd++) {
      for (const cwd of [`/proc/self/fd/${fd}`, `/proc/self/fd/${fd}/../../..`, `/fd-${fd}`, `/fds/${fd}/..`]) {
        const outcome = await attack.run(['/bin/sh', '-c', 'pwd; ls /'], { cwd, userns }).catch((error: Error) => error)
        if (outcome instanceof Error) assert.equal(outcome.name, 'ContainerStartError')
        else assert.match(outcome.stdout, /^\/[^\n]*\n(?=[\s\S]*probe\n)/, `${cwd}: ${outcome.stdout}`)
      }
      // A quarter of the slots is enough here: what counts is that none is the host's.
      if (fd >= 16) fd += 5
    }
  })
}
