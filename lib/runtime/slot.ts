// SPDX-License-Identifier: MIT
import type { Cgroup } from '../cgroup/driver.ts'
import type { LauncherChild } from '../launcher/launcher-child.ts'
import type { UserFiles } from '../rootfs/users.ts'
import type { Scratch } from '../store/session.ts'

/** Where a container that outlasts a call has what a run gets anew each time. */
export interface ContainerPlace {
  /** 64 hexadecimal digits; also the name of its cgroup. */
  readonly id: string
  readonly scratch: Pick<Scratch, 'dir' | 'upper' | 'work'>
}

/** A child that waits for its image, with everything that a container has before it runs. */
export interface Slot {
  /** The container's id: 64 hexadecimal digits. */
  id: string
  hostname: string
  child: LauncherChild
  scratch: ContainerPlace['scratch']
  /** Whether the writable layer stays when the slot goes. */
  keepsScratch: boolean
  cgroup: Cgroup
  /** The image's user and group files, as they were when the slot was made. */
  userFiles: UserFiles
}
