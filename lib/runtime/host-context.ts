// SPDX-License-Identifier: MIT
import { access, constants, readFile } from 'node:fs/promises'
import type { CgroupWorld } from '../cgroup/detect.ts'
import { type CgroupDriver, createCgroupDriver } from '../cgroup/driver.ts'
import { readCgroupWorld } from '../cgroup/read-world.ts'
import { type HostFacts, readHostFacts } from '../host/facts.ts'
import type { CgroupView } from '../plan/cgroup-mounts.ts'
import { chooseIdMapping, type IdMapping } from './id-maps.ts'

/** What an engine finds out about its host, once. */
export interface HostContext {
  facts: HostFacts
  world: CgroupWorld
  driver: CgroupDriver
  idMapping: IdMapping
  cgroupViews: readonly CgroupView[]
  /** A directory that every user can reach, in every mount namespace. */
  stageDir: string
  hosts: string | null
  resolvConf: string | null
}

/** Looks at the host: files of /proc, /sys and /etc only, nothing is started. */
export async function readHostContext(root: string): Promise<HostContext> {
  const [facts, world] = await Promise.all([readHostFacts(), readCgroupWorld()])
  const [idMapping, stageDir, hosts, resolvConf] = await Promise.all([
    chooseIdMapping(facts),
    facts.rootful ? chooseStageDir() : root,
    readOptional('/etc/hosts'),
    readOptional('/etc/resolv.conf'),
  ])
  return {
    facts,
    world,
    driver: createCgroupDriver(world),
    idMapping,
    cgroupViews: cgroupViews(world),
    stageDir,
    hosts,
    resolvConf,
  }
}

/** How the host's hierarchies look inside of a container. */
export function cgroupViews(world: CgroupWorld): CgroupView[] {
  return world.hierarchies.map(({ version, controllers, name, mountPoint }) => {
    if (version === 2) {
      const directory = world.version === 'v2' ? '' : (mountPoint.split('/').at(-1) ?? 'unified')
      return { directory, type: 'cgroup2' as const, options: [] }
    }
    const options = name === undefined ? [...controllers] : ['none', `name=${name}`]
    return { directory: mountPoint.split('/').at(-1) ?? '', type: 'cgroup' as const, options }
  })
}

async function chooseStageDir(): Promise<string> {
  for (const path of ['/tmp', '/run', '/var', '/mnt']) {
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path
  }
  return '/proc'
}

async function readOptional(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch(() => null)
}
