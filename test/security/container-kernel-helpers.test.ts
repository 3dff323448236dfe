// SPDX-License-Identifier: MIT
// CVE-2022-0492 and its kin: settings that make the kernel run a program of the attacker's choice as root of the host.
// The attacks only open the files for writing, and write nothing: where a defence is missing, the host must not suffer for it.
// Meant to fail so (not tried): with cgroup file systems mounted read-write and userns 'host' the first test writes release_agent; without
// readonly_path of /proc/sys the second writes core_pattern.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { needsContainers } from '../integration/rootfs.ts'
import { useAttack } from './container-attacks.ts'

const attack = useAttack()
const kSettings = [
  '/proc/sys/kernel/core_pattern',
  '/proc/sys/kernel/modprobe',
  '/proc/sys/kernel/hotplug',
  '/proc/sys/vm/panic_on_oom',
  '/proc/sys/fs/suid_dumpable',
  '/sys/kernel/uevent_helper',
  '/proc/sysrq-trigger',
  '/sys/kernel/mm/transparent_hugepage/enabled',
]

for (const userns of ['auto', 'host'] as const) {
  test(`release_agent and cgroups cannot be written (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const output = await attack.sh(
      `for group in /sys/fs/cgroup /sys/fs/cgroup/*; do
         mkdir $group/escape && rmdir $group/escape && echo MADE $group
         for file in release_agent notify_on_release cgroup.procs memory.limit_in_bytes; do
           test -e $group/$file && true >> $group/$file && echo WROTE $group/$file
         done
       done
       mkdir /tmp/cgrp && mount -t cgroup -o memory cgroup /tmp/cgrp && echo MOUNTED
       mount -t cgroup2 cgroup /tmp/cgrp && echo MOUNTED
       mount -o remount,rw /sys/fs/cgroup && echo REMOUNTED
       unshare -UrmC mount -t cgroup -o memory cgroup /tmp/cgrp && echo MOUNTED
       echo done`,
      { userns },
    )
    assert.doesNotMatch(output, /MADE|WROTE|MOUNTED/)
    assert.match(output, /done/)
  })

  test(`settings of the kernel cannot be written (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    for (const path of kSettings) {
      const output = await attack.sh(`test -e ${path} && true >> ${path} && echo WROTE; echo done`, { userns })
      assert.doesNotMatch(output, /WROTE/, path)
      assert.match(output, /done/)
    }
  })

  test(`the cgroup namespace hides the host's paths (userns ${userns})`, async (t) => {
    if (!needsContainers(t)) return
    const output = await attack.sh('cat /proc/self/cgroup', { userns })
    assert.ok(output.length > 0)
    for (const line of output.trim().split('\n')) assert.match(line, /:\/$/)
  })
}
