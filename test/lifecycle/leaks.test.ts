// SPDX-License-Identifier: MIT
// Many runs in one process leave nothing: neither on the host nor in the memory of the process.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { useFaultRoot } from '../fault/fault-root.ts'
import { checkLeftovers, leavesNothing, takeStock } from '../helpers/leftovers.ts'
import { needsContainers } from '../integration/rootfs.ts'

// V8 has reached the size of its young generation by then.
const kWarmUpRuns = 500
const kRuns = 3_000
const kWindows = 6
const kParallel = 50
/** Over the second half of the runs. */
const kMaxGrowthBytes = 8 * 1024 * 1024
/** In each of the windows: 2 KiB a run. */
const kMaxWindowGrowthBytes = 1024 * 1024
const kMaxHeapGrowthBytes = 2 * 1024 * 1024
const kTimeoutMs = 300_000

checkLeftovers()

const root = useFaultRoot()

test(`${kRuns} runs leave nothing behind`, { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  const namespaces = listNamespaces()
  await leavesNothing(async () => {
    await using engine = await Engine.open({ root })
    await runMany(engine, kWarmUpRuns)
    const descriptors = readdirSync('/proc/self/fd').length
    const started = performance.now()
    const levels = [await settledMemory()]
    for (let window = 0; window < kWindows; window++) {
      await runMany(engine, kRuns / kWindows)
      levels.push(await settledMemory())
    }
    const perRunMs = (performance.now() - started) / kRuns
    t.diagnostic(
      `${kRuns} runs, ${perRunMs.toFixed(1)} ms each; resident ${levels.map(({ rss }) => mebibytes(rss)).join(', ')} MiB, ` +
        `heap ${levels.map(({ heapUsed }) => mebibytes(heapUsed)).join(', ')} MiB`,
    )
    // The allocator and V8 take more room in jumps, until they have enough. A leak grows in every window.
    const steps = levels.slice(1).map(({ rss }, i) => rss - (levels[i]?.rss ?? 0))
    const leastBytes = Math.min(...steps)
    assert.ok(leastBytes < kMaxWindowGrowthBytes, `the process grew by ${mebibytes(leastBytes)} MiB in every window`)
    const grownBytes = steps.slice(kWindows / 2).reduce((sum, bytes) => sum + bytes, 0)
    assert.ok(grownBytes < kMaxGrowthBytes, `the process grew by ${mebibytes(grownBytes)} MiB in the second half`)
    const heapGrownBytes = (levels.at(-1)?.heapUsed ?? 0) - (levels[0]?.heapUsed ?? 0)
    assert.ok(heapGrownBytes < kMaxHeapGrowthBytes, `its heap grew by ${mebibytes(heapGrownBytes)} MiB`)
    // The pool may hold a slot more or less; a thousandth of a leak would be seen.
    assert.ok(readdirSync('/proc/self/fd').length < descriptors + 20, 'descriptors pile up while the engine is open')
  }, [join(root, 'sessions'), join(root, 'tmp'), root])
  assert.deepEqual(await namespacesLeft(namespaces), [])
})

test(`${kParallel} runs at once leave nothing behind`, { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  const namespaces = listNamespaces()
  await leavesNothing(async () => {
    await using engine = await Engine.open({ root })
    for (let round = 0; round < 3; round++) {
      const numbers = Array.from({ length: kParallel }, (_, i) => String(i))
      const results = await Promise.all(numbers.map((n) => Container.run('fault', ['/bin/echo', n], { engine })))
      assert.deepEqual(
        results.map(({ stdout }) => stdout.trim()),
        numbers,
      )
    }
  }, [join(root, 'sessions'), join(root, 'tmp'), root])
  assert.deepEqual(await namespacesLeft(namespaces), [])
})

test('failed, timed out and aborted runs leave nothing behind', { timeout: kTimeoutMs }, async (t) => {
  if (!needsContainers(t)) return
  await leavesNothing(async () => {
    await using engine = await Engine.open({ root })
    const sleep = ['/bin/sleep', '100']
    const kinds = [
      () => Container.run('fault', ['/bin/false'], { engine }),
      () => Container.run('fault', ['/nowhere'], { engine }),
      () => Container.run('fault', ['/bin/true'], { engine, user: 'nobody-knows' }),
      () => Container.run('fault', ['/bin/true'], { engine, sysctls: { 'net.core.nonsense': 1 } }),
      () => Container.run('fault', sleep, { engine, timeoutMs: 20 }),
      () => Container.run('fault', sleep, { engine, signal: AbortSignal.timeout(15) }),
      () => Container.run('fault', ['/bin/busybox', 'yes'], { engine, maxOutputBytes: 10_000 }),
    ]
    for (let round = 0; round < 5; round++) {
      const settled = await Promise.allSettled(kinds.map((run) => run()))
      assert.deepEqual(
        settled.map(({ status }) => status),
        kinds.map(() => 'rejected'),
      )
    }
  }, [join(root, 'sessions'), join(root, 'tmp'), root])
})

async function runMany(engine: Engine, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Container.run('fault', ['/bin/true'], { engine })
}

/** Memory after garbage collection, once what runs in the background is done. */
async function settledMemory(): Promise<NodeJS.MemoryUsage> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    collect()
  }
  return process.memoryUsage()
}

function mebibytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1)
}

/** Every namespace that a container of ours or a helper of wherry's is in, as the kernel names it: `mnt:[4026531841]`. */
function listNamespaces(): Set<string> {
  const found = new Set<string>()
  const contained = takeStock().contained.map((line) => line.split(' ')[0] ?? '')
  for (const pid of [...contained, ...helpers()]) {
    for (const type of ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts']) {
      try {
        found.add(readlinkSync(`/proc/${pid}/ns/${type}`))
      } catch {
        // The process has ended.
      }
    }
  }
  // Mount namespaces that a descriptor or a bind mount keeps alive show up as nsfs.
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n'))
    if (/ - nsfs /.test(line)) found.add(line)
  return found
}

function helpers(): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/comm`, 'latin1').startsWith('wherry')
    } catch {
      return false
    }
  })
}

/** What is new, once the kernel has had some seconds to finish. */
async function namespacesLeft(before: ReadonlySet<string>): Promise<string[]> {
  const deadline = Date.now() + 8_000
  for (;;) {
    const left = [...listNamespaces()].filter((name) => !before.has(name))
    if (left.length === 0 || Date.now() > deadline) return left
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
