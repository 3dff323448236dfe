// SPDX-License-Identifier: MIT
// Many programs, one after the other in one container: none fails, and they leave nothing, neither on the host nor in memory.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Container } from '../../lib/container.ts'
import { leavesNothing } from '../helpers/leftovers.ts'
import { needsContainers, useFixture } from '../integration/rootfs.ts'

const fixture = useFixture()

/** WHERRY_EXECS=10000 runs as many. */
const kExecs = Number(process.env.WHERRY_EXECS ?? 1_000)
const kWarmUpExecs = 500
const kTimeoutMs = 60_000 + kExecs * 50
/** Of each process, whatever the number: a kilobyte an exec would be 10 MiB of 10,000. */
const kMaxGrowthBytes = 8 * 1024 * 1024
const kMaxHeapGrowthBytes = 2 * 1024 * 1024
/** V8 gives its young generation more room in one jump, some thousand programs after the first. */
const kMaxHeapRoomGrowthBytes = 32 * 1024 * 1024

interface Levels {
  resident: number
  /** What of that is not V8's. */
  outside: number
  heap: number
  /** Of the launcher and what else this process has started. */
  children: Map<string, number>
}

test(`${kExecs} programs in a container, one after the other`, { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  await using container = await Container.start(image, { engine, command: ['/bin/sleep', '1000'], stopTimeoutMs: 0 })
  const { execs } = await engine.runtime()
  const many = async (count: number): Promise<void> => {
    await execMany(container, count)
    // One process waits in the container for the next program.
    await execs.slots.clear()
  }
  await many(kWarmUpExecs)
  const before = await levels()
  const startedAt = performance.now()
  const directory = join(engine.root, 'containers', container.id)
  await leavesNothing(() => many(kExecs), [directory, join(engine.root, 'tmp'), join(engine.root, 'sessions')])
  const eachMs = (performance.now() - startedAt) / kExecs
  const after = await levels()
  t.diagnostic(
    `${eachMs.toFixed(2)} ms each; resident ${mebibytes(before.resident)} MiB before, ${mebibytes(after.resident)} after, ` +
      `of which not V8's ${mebibytes(before.outside)} and ${mebibytes(after.outside)}`,
  )
  const limits = { outside: kMaxGrowthBytes, heap: kMaxHeapGrowthBytes, resident: kMaxHeapRoomGrowthBytes } as const
  for (const [name, limit] of Object.entries(limits) as [keyof typeof limits, number][]) {
    const grown = after[name] - before[name]
    assert.ok(grown < limit, `${name}: the process grew by ${mebibytes(grown)} MiB`)
  }
  for (const [name, rss] of after.children) {
    const more = rss - (before.children.get(name) ?? 0)
    t.diagnostic(`${name}: ${mebibytes(rss)} MiB, ${mebibytes(more)} more`)
    assert.ok(more < kMaxGrowthBytes, `${name} grew by ${mebibytes(more)} MiB`)
  }
})

async function execMany(container: Container, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { stdout, exitCode } = await container.exec(['/bin/echo', String(i)])
    assert.deepEqual([stdout, exitCode], [`${i}\n`, 0])
  }
}

/** Memory after garbage collection, once what runs in the background is done. */
async function levels(): Promise<Levels> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    collect()
  }
  const { rss, heapTotal, heapUsed } = process.memoryUsage()
  const listed = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
  const pids = listed.split(' ').filter(Boolean)
  assert.ok(pids.length > 0, 'the launcher is a child')
  const children = new Map(pids.map((pid) => [`child ${pid}`, residentBytes(pid)]))
  return { resident: rss, outside: rss - heapTotal, heap: heapUsed, children }
}

function residentBytes(pid: string): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes ?? 0) * 1024
}

function mebibytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1)
}
