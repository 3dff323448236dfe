// SPDX-License-Identifier: MIT
import { kMountAttr } from './mount-words.ts'
import { type Step, step } from './ops.ts'
import { kSlot } from './slots.ts'

/** A cgroup hierarchy as a container sees it. `options` are what selects it when mounted again. */
export interface CgroupView {
  /** Directory below /sys/fs/cgroup; empty for a unified host. */
  directory: string
  type: 'cgroup' | 'cgroup2'
  options: readonly string[]
}

/** Mounts the cgroup file systems at `path` below a slot: the unified one, or a tmpfs with the hierarchies in it. */
export function cgroupMounts(views: readonly CgroupView[], attr: number, slot: number, path: string): Step[] {
  const unified = views.find(({ directory }) => directory === '')
  if (unified !== undefined) {
    return [step('fsmount', 'mount the cgroup file system', [-1, slot, attr], [unified.type, path])]
  }
  if (views.length === 0) return []
  const base = attr & ~kMountAttr.readOnly
  return [
    step('fsmount', 'mount /sys/fs/cgroup', [kSlot.scratch, slot, base], ['tmpfs', path, 'mode=755', 'size=1m']),
    ...views.map(({ directory, type, options }) =>
      step(
        'fsmount',
        `mount the cgroup hierarchy ${directory}`,
        [-1, kSlot.scratch, attr],
        [type, directory, ...options],
      ),
    ),
    ...((attr & kMountAttr.readOnly) === 0
      ? []
      : [step('mount_setattr', 'make /sys/fs/cgroup read-only', [kSlot.scratch, kMountAttr.readOnly, 0, 0, 0, -1])]),
    step('close', 'let go of /sys/fs/cgroup', [kSlot.scratch]),
  ]
}
