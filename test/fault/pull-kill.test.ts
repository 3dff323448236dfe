// SPDX-License-Identifier: MIT
// Pulls and pushes that are killed at any instant, several processes on one store: the store stays sound, and the next pull
// goes on from what was downloaded. WHERRY_KILLS sets how many there are.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import { startFaultyProxy } from '../helpers/faulty-proxy.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import {
  assertSound,
  makeLargeImage,
  needsRegistry,
  rawManifest,
  seedRegistry,
  skopeoPush,
} from '../integration/pull-fixtures.ts'
import { until } from '../integration/rootfs.ts'

checkLeftovers()

const kKills = Number(process.env.WHERRY_KILLS ?? 20)
const kSeed = 20_261_124
const kLongestMs = 400
const kTimeoutMs = 60_000 + kKills * 3_000
const kWorker = fileURLToPath(new URL('./transfer-worker.js', import.meta.url))

/** Numbers from 0 to 1, the same for the same seed. @source mulberry32 */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Worker {
  child: ChildProcess
  readonly output: string
}

function startWorker(t: TestContext, root: string, reference: string, mode: 'pull' | 'push'): Worker {
  const child = spawn(process.execPath, [kWorker, root, reference, mode], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  return {
    child,
    get output() {
      return output
    },
  }
}

async function kill({ child }: Worker): Promise<void> {
  const ended = once(child, 'close')
  child.kill('SIGKILL')
  await ended
}

test(`${kKills} kills of pulls and pushes`, { timeout: kTimeoutMs }, async (t) => {
  if (!needsRegistry(t)) return
  const random = seeded(kSeed)
  const setting = await seedRegistry(t)
  const reference = `${setting.host}/large:1`
  await skopeoPush(`oci:${await makeLargeImage(setting.dir, [4_000_000, 2_000_000, 1_000_000, 10_000])}`, reference)
  const root = join(setting.dir, 'root')
  let interrupted = 0
  for (let turn = 0; turn < kKills; turn++) {
    const modes = turn % 4 === 3 ? (['push', 'push'] as const) : (['pull', 'pull'] as const)
    const workers = modes.map((mode) => startWorker(t, root, reference, mode))
    await until(() => workers.every((worker) => worker.output !== ''), 'the workers are ready', 20_000)
    await delay(random() * kLongestMs)
    for (const worker of workers) assert.equal(worker.output, 'ready\n')
    // Both at once, or one while the other goes on.
    const [first, second] = workers as [Worker, Worker]
    await (random() < 0.5 ? Promise.all(workers.map(kill)) : kill(first))
    await using engine = await Engine.open({ root })
    const { faults } = await engine.verify()
    assert.deepEqual(faults, [], `turn ${turn}`)
    if ((await engine.diskUsage()).partialDownloads.count > 0) interrupted++
    if (second.child.exitCode !== null || second.child.signalCode !== null) continue
    await delay(random() * kLongestMs)
    assert.equal(second.output, 'ready\n')
    await kill(second)
  }
  t.diagnostic(`${interrupted} times a download was under way`)
  await using engine = await Engine.open({ root })
  const image = await Image.pull(reference, { engine, policy: 'always' })
  assert.equal(image.id, (await rawManifest(reference)).manifest.config.digest)
  // Killed processes leave empty lock files, which prune collects.
  await engine.prune()
  await assertSound(engine)
})

test('the pull after a kill asks only for what is missing', { timeout: kTimeoutMs }, async (t) => {
  if (!needsRegistry(t)) return
  const setting = await seedRegistry(t)
  await skopeoPush(`oci:${await makeLargeImage(setting.dir, [3_000_000, 500_000])}`, `${setting.host}/large:1`)
  const { manifest } = await rawManifest(`${setting.host}/large:1`)
  const large = [...manifest.layers].sort((a, b) => b.size - a.size)[0]!
  const proxy = await startFaultyProxy(t, setting.host)
  const root = join(setting.dir, 'root')
  proxy.inject({ path: new RegExp(large.digest), fault: { kind: 'stall', afterBytes: 2_000_000 } })
  const worker = startWorker(t, root, `${proxy.host}/large:1`, 'pull')
  await using engine = await Engine.open({ root })
  const arrived = async (): Promise<boolean> => {
    const { partialDownloads } = await engine.diskUsage()
    return partialDownloads.count === manifest.layers.length && partialDownloads.bytes >= 2_000_000 + 500_000
  }
  while (!(await arrived())) {
    assert.match(worker.output, /^(ready\n)?$/)
    await delay(10)
  }
  await kill(worker)
  proxy.reset()
  await engine.store.repair()
  await Image.pull(`${proxy.host}/large:1`, { engine })
  const asked = proxy.requests.filter(({ path }) => manifest.layers.some((layer) => path.endsWith(layer.digest)))
  assert.deepEqual(
    asked.map(({ headers }) => headers.range),
    ['bytes=2000000-'],
  )
  await assertSound(engine)
})
