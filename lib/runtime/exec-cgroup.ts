// SPDX-License-Identifier: MIT
import { dirname, join } from 'node:path'
import type { Cgroup } from '../cgroup/driver.ts'
import { CgroupV1 } from '../cgroup/v1.ts'
import { CgroupV2 } from '../cgroup/v2.ts'
import { UnsupportedHostError } from '../errors.ts'

/** How a program gets into its container's cgroups. */
export interface ExecCgroup {
  /** A cgroup below one of the container's, which holds the program and all that it starts; `null` where none can be made. */
  readonly directory: string | null
  /** v1 `tasks` files to join, those of {@link sharedTasks} left out. */
  readonly tasks: readonly string[]
  /** Ends all that is in `directory`, and resolves when nothing is left. */
  readonly killAll: () => Promise<void>
}

/**
 * Plans the cgroups of a program in a running container. It is under the container's limits, as it is in its cgroups or below them. A
 * cgroup of its own tells what it has started, also when that has left its session. One without controllers suffices, on
 * the v2 mount that a hybrid host has too; else it is one of the freezer's, which changes nothing for those in it.
 *
 * @param name - of the cgroup, unlike that of any other program in the container
 */
export function planExecCgroup(cgroup: Cgroup | undefined, name: string): ExecCgroup {
  if (cgroup?.unifiedDir !== undefined) {
    const directory = join(cgroup.unifiedDir, name)
    const own = new CgroupV2(name, directory)
    return { directory, tasks: [], killAll: () => own.killAll('SIGKILL') }
  }
  const freezer = cgroup && freezerOf(cgroup)
  if (freezer === undefined) return { directory: null, tasks: [], killAll: async () => undefined }
  const directory = join(freezer, name)
  const own = new CgroupV1(name, [directory], new Map([['freezer', directory]]), undefined)
  return { directory, tasks: [`${directory}/tasks`], killAll: () => own.killAll('SIGKILL') }
}

/** The v1 `tasks` files that all programs of a container join. */
export function sharedTasks(cgroup: Cgroup | undefined): string[] {
  const own = cgroup === undefined || cgroup.unifiedDir !== undefined ? undefined : freezerOf(cgroup)
  return (cgroup?.selfAttachPaths ?? []).filter((path) => dirname(path) !== own)
}

function freezerOf(cgroup: Cgroup): string | undefined {
  try {
    return dirname(cgroup.pathOf({ controller: 'freezer', file: 'tasks', value: '' }))
  } catch (error) {
    if (error instanceof UnsupportedHostError) return undefined
    throw error
  }
}
