// SPDX-License-Identifier: MIT
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { CgroupHierarchy, CgroupWorld } from '../../lib/cgroup/detect.ts'

/** Files of a cgroup with the values the kernel gives a new one. */
export type FakeFiles = Readonly<Record<string, string>>

const kCommonV1: FakeFiles = { 'cgroup.procs': '', tasks: '', 'cgroup.clone_children': '0\n' }

const kFilesV1: Readonly<Record<string, FakeFiles>> = {
  cpu: { 'cpu.shares': '1024\n', 'cpu.cfs_quota_us': '-1\n', 'cpu.cfs_period_us': '100000\n', 'cpu.stat': '' },
  cpuacct: { 'cpuacct.usage': '0\n', 'cpuacct.stat': 'user 0\nsystem 0\n' },
  cpuset: { 'cpuset.cpus': '\n', 'cpuset.mems': '\n' },
  memory: {
    'memory.limit_in_bytes': '9223372036854771712\n',
    'memory.memsw.limit_in_bytes': '9223372036854771712\n',
    'memory.soft_limit_in_bytes': '9223372036854771712\n',
    'memory.usage_in_bytes': '0\n',
    'memory.max_usage_in_bytes': '0\n',
    'memory.failcnt': '0\n',
    'memory.force_empty': '',
    'memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 0\n',
  },
  devices: { 'devices.allow': '', 'devices.deny': '', 'devices.list': 'a *:* rwm\n' },
  freezer: { 'freezer.state': 'THAWED\n' },
  blkio: { 'blkio.bfq.weight': '100\n', 'blkio.throttle.read_bps_device': '' },
  pids: { 'pids.max': 'max\n', 'pids.current': '0\n' },
}

/** Files of a v2 cgroup by controller; '' has those that need none. */
const kFilesV2: Readonly<Record<string, FakeFiles>> = {
  '': {
    'cgroup.procs': '',
    'cgroup.controllers': '',
    'cgroup.subtree_control': '',
    'cgroup.events': 'populated 0\nfrozen 0\n',
    'cgroup.freeze': '0\n',
    'cgroup.kill': '',
    'cpu.stat': 'usage_usec 0\nuser_usec 0\nsystem_usec 0\n',
  },
  cpu: { 'cpu.max': 'max 100000\n', 'cpu.weight': '100\n' },
  cpuset: { 'cpuset.cpus': '\n', 'cpuset.mems': '\n' },
  io: { 'io.max': '', 'io.weight': 'default 100\n' },
  memory: {
    'memory.max': 'max\n',
    'memory.low': '0\n',
    'memory.swap.max': 'max\n',
    'memory.current': '0\n',
    'memory.peak': '0\n',
    'memory.events': 'low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n',
  },
  pids: { 'pids.max': 'max\n', 'pids.current': '0\n' },
}

/** A cgroup tree made of ordinary files. The kernel fills a new directory by itself; here a test calls `fill`. */
export interface FakeCgroupfs {
  root: string
  world: CgroupWorld
  read(path: string): Promise<string>
  /** Gives a directory the files of a new cgroup. Those it has already are kept. */
  fill(dir: string, changes?: FakeFiles): Promise<void>
  /** Takes the files away, so that rmdir works as in a real tree. */
  empty(dir: string): Promise<void>
}

/** Options of {@link makeFakeCgroupfs}. */
export interface FakeOptions {
  /** Controllers of the v2 root. @default all */
  controllers?: readonly string[]
  /** Names of mounts that may not be written to. */
  readOnly?: readonly string[]
  /** v1 mounts, each a comma list. @default cpu,cpuacct together and the others alone */
  mounts?: readonly string[]
}

const kMountsV1 = ['cpu,cpuacct', 'cpuset', 'memory', 'devices', 'freezer', 'blkio', 'pids']

/** Makes a fake tree in a temporary directory, which is removed after the test. The parent `wherry` has its files already. */
export async function makeFakeCgroupfs(
  t: TestContext,
  version: 'v1' | 'hybrid' | 'v2',
  options: FakeOptions = {},
): Promise<FakeCgroupfs> {
  const root = await mkdtemp(join(tmpdir(), 'wherry-fake-cgroupfs-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  const hierarchies: CgroupHierarchy[] = []
  const add = (version: 1 | 2, mount: string, controllers: readonly string[], name: string | undefined) => {
    const mountPoint = join(root, mount)
    const writable = options.readOnly?.includes(mount) !== true
    hierarchies.push({ version, controllers, name, mountPoint, ownPath: '/', ownDir: mountPoint, writable })
  }
  if (version !== 'v2') {
    for (const mount of options.mounts ?? kMountsV1) add(1, mount, mount.split(','), undefined)
    add(1, 'systemd', [], 'systemd')
  }
  const controllers = version === 'v2' ? (options.controllers ?? ['cpu', 'cpuset', 'io', 'memory', 'pids']) : []
  if (version !== 'v1') add(2, 'unified', controllers, undefined)
  const fake: FakeCgroupfs = {
    root,
    world: { version, hierarchies },
    read: (path) => readFile(join(root, path), 'utf8'),
    fill: (dir, changes = {}) => fillDir(hierarchies, root, dir, changes),
    empty: (dir) => rm(join(root, dir), { recursive: true, force: true }).then(() => mkdir(join(root, dir))),
  }
  await Promise.all(
    hierarchies.map(({ mountPoint }) => prepareMount(fake, mountPoint.slice(root.length + 1), controllers)),
  )
  return fake
}

async function prepareMount(fake: FakeCgroupfs, mount: string, controllers: readonly string[]): Promise<void> {
  const offered = { 'cgroup.controllers': `${controllers.join(' ')}\n` }
  await fake.fill(mount, { 'cpuset.cpus': '0-3\n', 'cpuset.mems': '0\n', ...offered })
  await fake.fill(`${mount}/wherry`, offered)
}

async function fillDir(
  hierarchies: readonly CgroupHierarchy[],
  root: string,
  dir: string,
  changes: FakeFiles,
): Promise<void> {
  const path = join(root, dir)
  const hierarchy = hierarchies.find(({ mountPoint }) => path === mountPoint || path.startsWith(`${mountPoint}/`))
  if (hierarchy === undefined) throw new Error(`${dir} is not below a mount of the fake tree`)
  const groups =
    hierarchy.version === 2
      ? ['', ...hierarchy.controllers].map((controller) => kFilesV2[controller])
      : [kCommonV1, ...hierarchy.controllers.map((controller) => kFilesV1[controller])]
  const known: FakeFiles = Object.assign({}, ...groups)
  const changed = Object.entries(changes).filter(([name]) => name in known)
  await mkdir(path, { recursive: true })
  for (const [name, value] of Object.entries({ ...known, ...Object.fromEntries(changed) })) {
    await writeFile(join(path, name), value, { flag: name in changes ? 'w' : 'wx' }).catch((error) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
}
