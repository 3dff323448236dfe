// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Cgroup } from '../../../lib/cgroup/cgroup.ts'
import { createCgroupDriver } from '../../../lib/cgroup/driver.ts'
import { type FakeCgroupfs, makeFakeCgroupfs } from '../../helpers/fake-cgroupfs.ts'

/** Makes a cgroup with files of some controllers. */
async function withFiles(fake: FakeCgroupfs, files: Readonly<Record<string, string>>): Promise<Cgroup> {
  const cgroup = await createCgroupDriver(fake.world).create('c1')
  for (const [path, text] of Object.entries(files)) {
    const [mount = '', name = ''] = path.split('/')
    await writeFile(join(fake.root, mount, 'wherry/c1', name), text)
  }
  return cgroup
}

const kFilesV1 = {
  'memory/memory.usage_in_bytes': '5000\n',
  'memory/memory.stat': 'cache 1\ninactive_file 3\ntotal_inactive_file 2000\n',
  'memory/memory.limit_in_bytes': '9223372036854771712\n',
  'pids/pids.current': '3\n',
  'pids/pids.max': '20\n',
  'blkio/blkio.throttle.io_service_bytes_recursive': '8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n8:16 Read 5\nTotal 35\n',
}
const kOfV1 = {
  memoryBytes: 5000,
  inactiveFileBytes: 2000,
  memoryLimitBytes: null,
  pids: 3,
  pidsLimit: 20,
  readBytes: 15,
  writtenBytes: 20,
}

test('v1: what a container uses is what its controllers say', async (t) => {
  const cgroup = await withFiles(await makeFakeCgroupfs(t, 'v1'), {
    ...kFilesV1,
    'cpu,cpuacct/cpuacct.usage': '7000\n',
    'cpu,cpuacct/cpuacct.stat': 'user 0\nsystem 0\n',
  })
  assert.deepEqual(await cgroup.usage(), { cpuMicros: 7, ...kOfV1 })
})

test('hybrid: times come from the v2 mount, the rest from v1', async (t) => {
  const cgroup = await withFiles(await makeFakeCgroupfs(t, 'hybrid'), {
    ...kFilesV1,
    'unified/cpu.stat': 'usage_usec 9\nuser_usec 5\nsystem_usec 4\n',
  })
  assert.deepEqual(await cgroup.usage(), { cpuMicros: 9, ...kOfV1 })
})

test('v2: all comes from one directory; what it has no file for is unknown', async (t) => {
  const fake = await makeFakeCgroupfs(t, 'v2')
  const cgroup = await withFiles(fake, {
    'unified/cpu.stat': 'usage_usec 9\nuser_usec 5\nsystem_usec 4\n',
    'unified/memory.current': '5000\n',
    'unified/memory.stat': 'anon 1\ninactive_file 2000\n',
    'unified/memory.max': '6000\n',
    'unified/pids.current': '3\n',
    'unified/pids.max': 'max\n',
    'unified/io.stat': '8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=1 rios=1 wios=1\n',
  })
  const memory = { memoryBytes: 5000, inactiveFileBytes: 2000, memoryLimitBytes: 6000 }
  const rest = { pids: 3, pidsLimit: null, readBytes: 15, writtenBytes: 21 }
  assert.deepEqual(await cgroup.usage(), { cpuMicros: 9, ...memory, ...rest })
  const bare = await withFiles(await makeFakeCgroupfs(t, 'v2', { controllers: ['cpu'] }), {})
  const { cpuMicros, memoryBytes, pids, readBytes } = await bare.usage()
  assert.deepEqual([cpuMicros, memoryBytes, pids, readBytes], [null, null, null, null])
})
