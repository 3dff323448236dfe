// SPDX-License-Identifier: MIT
// A lot of data through a program in a container: all of it arrives, and none of it piles up.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Container } from '../../lib/container.ts'
import { until } from '../helpers/until.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

const kMiB = 1024 * 1024
/** WHERRY_GIGABYTE=1 sends all of a gigabyte. */
const kTotalBytes = process.env.WHERRY_GIGABYTE === '1' ? 1024 * kMiB : 256 * kMiB
const kChunkBytes = 128 * 1024
const kMaxGrowthBytes = 64 * kMiB
/** What pipes and streams hold at most of what nobody reads. */
const kMaxHeldBytes = 4 * kMiB
const kTimeoutMs = 240_000

/** Makes numbered chunks, so that nothing can be lost, doubled or out of order, as fast as they are taken. */
class Source {
  readonly stream: Readable
  readonly #hash = createHash('sha256')
  sentBytes = 0

  constructor(totalBytes: number) {
    const body = randomBytes(kChunkBytes)
    this.stream = new Readable({
      highWaterMark: kChunkBytes,
      read: () => {
        if (this.sentBytes >= totalBytes) return void this.stream.push(null)
        const chunk = Buffer.from(body)
        chunk.writeDoubleLE(this.sentBytes)
        this.sentBytes += chunk.length
        this.#hash.update(chunk)
        this.stream.push(chunk)
      },
    })
  }

  get digest(): string {
    return this.#hash.digest('hex')
  }
}

/** Counts and hashes what arrives; `before` holds it up. */
class Target {
  readonly stream: Writable
  readonly #hash = createHash('sha256')
  bytes = 0

  constructor(before: () => Promise<void> = () => Promise.resolve()) {
    this.stream = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.#hash.update(chunk)
        this.bytes += chunk.length
        before().then(() => done(), done)
      },
    })
  }

  get digest(): string {
    return this.#hash.digest('hex')
  }
}

/** Runs `body`, and says by how much the process grew meanwhile, at most. */
async function growthOf(body: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage.rss()
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss())
  }, 20)
  try {
    await body()
  } finally {
    clearInterval(timer)
  }
  return most - before
}

const kRemains = ['/bin/sleep', '1000']
const kCat = ['/bin/cat']

type Way = (source: Readable, target: Writable) => Promise<void>

/** From a stream to a stream through a container's `cat`, in each of the ways that there are. */
const kWays: Readonly<Record<string, (container: Container) => Way>> = {
  'Container.run': () => async (stdin, stdout) => {
    await fixture.run(kCat, { stdin, stdout })
  },
  exec: (container) => async (stdin, stdout) => {
    await container.exec(kCat, { stdin, stdout })
  },
  spawn: (container) => async (source, target) => {
    const program = await container.spawn(kCat, { stdin: 'pipe' })
    await Promise.all([pipeline(source, program.stdin!), pipeline(program.stdout!, target)])
    assert.equal((await program.wait()).exitCode, 0)
  },
}

for (const [name, wayThrough] of Object.entries(kWays)) {
  test(`${kTotalBytes / kMiB} MiB through ${name}`, { timeout: kTimeoutMs }, async (t) => {
    if (!needsContainers(t)) return
    const { engine, image } = fixture
    await using container = await Container.start(image, { engine, command: kRemains, stopTimeoutMs: 0 })
    const way = wayThrough(container)
    // Buffers of the first megabytes stay with the process.
    await way(new Source(16 * kMiB).stream, new Target().stream)
    const [source, target] = [new Source(kTotalBytes), new Target()]
    const startedAt = performance.now()
    const grown = await growthOf(() => way(source.stream, target.stream))
    const seconds = (performance.now() - startedAt) / 1000
    t.diagnostic(`${(kTotalBytes / kMiB / seconds).toFixed(0)} MiB/s, ${(grown / kMiB).toFixed(1)} MiB more memory`)
    assert.deepEqual([target.bytes, target.digest], [kTotalBytes, source.digest])
    assert.ok(grown < kMaxGrowthBytes, `the process grew by ${(grown / kMiB).toFixed(1)} MiB`)
  })

  test(`a reader that stops holds up who writes, through ${name}`, { timeout: kTimeoutMs }, async (t) => {
    if (!needsContainers(t)) return
    const { engine, image } = fixture
    await using container = await Container.start(image, { engine, command: kRemains, stopTimeoutMs: 0 })
    let letGo = (): void => undefined
    const gate = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const totalBytes = 32 * kMiB
    const [source, target] = [new Source(totalBytes), new Target(() => gate)]
    const through = wayThrough(container)(source.stream, target.stream)
    // It goes on until everything between is full, and no further.
    let seen = -1
    await until(
      async () => {
        const isStill = target.bytes > 0 && seen === source.sentBytes
        seen = source.sentBytes
        await delay(100)
        return isStill
      },
      'the source has stopped',
      20_000,
    )
    const heldBytes = source.sentBytes - target.bytes
    t.diagnostic(`${(heldBytes / kMiB).toFixed(2)} MiB are under way`)
    assert.ok(heldBytes < kMaxHeldBytes, `${heldBytes} bytes are under way`)
    letGo()
    await through
    assert.deepEqual([target.bytes, target.digest], [totalBytes, source.digest])
  })
}
