// SPDX-License-Identifier: MIT
// What containers write, from the first byte to the last: streams, moments, rotation, long lines, readers that come and go.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Container, type CreateOptions } from '../../lib/container.ts'
import type { LogLine } from '../../lib/containers/log-record.ts'
import { Engine } from '../../lib/engine.ts'
import { NotFoundError } from '../../lib/errors.ts'
import { until } from '../helpers/until.ts'
import { firstLine, linesOf } from '../lifecycle/lasting.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()
const kTimeout = { timeout: 120_000 }

function shell(script: string, options: CreateOptions = {}): Promise<Container> {
  return Container.create(fixture.image, { engine: fixture.engine, command: ['/bin/sh', '-c', script], ...options })
}

async function allOf(container: Container, options: Parameters<Container['logs']>[0] = {}): Promise<LogLine[]> {
  const lines: LogLine[] = []
  for await (const line of container.logs(options)) lines.push(line)
  return lines
}

const numbers = (count: number, from = 1): string[] => Array.from({ length: count }, (_, i) => String(from + i))

test('nothing is missing, whenever the reader comes', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await shell('seq 1 3000; seq 1 3000 >&2')
  await container.start()
  const [early, late] = await Promise.all([
    allOf(container, { follow: true }),
    new Promise((resolve) => setTimeout(resolve, 5)).then(() => allOf(container, { follow: true })),
  ])
  for (const lines of [early, late, await allOf(container), await allOf(container, { follow: true })]) {
    for (const stream of ['stdout', 'stderr'] as const) {
      const texts = lines.filter((line) => line.stream === stream).map(({ line }) => line)
      assert.deepEqual(texts, numbers(3000), stream)
    }
    // Times never go back.
    const times = lines.map(({ time }) => time)
    assert.deepEqual(times, [...times].sort())
  }
})

test('one that was never started has no logs, and nobody waits for them', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await shell('true')
  assert.deepEqual(await allOf(container, { follow: true }), [])
})

test('which lines', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await shell('seq 1 5; echo bad >&2; printf last')
  await container.start()
  await container.wait()
  assert.deepEqual(await linesOf(container, { stderr: false }), ['1', '2', '3', '4', '5', 'last'])
  assert.deepEqual(await linesOf(container, { stdout: false }), ['bad'])
  assert.deepEqual(await linesOf(container, { stdout: false, stderr: false }), [])
  assert.deepEqual(await linesOf(container, { tail: 2, stderr: false }), ['5', 'last'])
  assert.deepEqual(await linesOf(container, { tail: 0, follow: true }), [])
  assert.equal((await linesOf(container, { tail: 100 })).length, 7)
  assert.deepEqual(
    (await allOf(container, { stderr: false })).map(({ partial }) => partial),
    [false, false, false, false, false, true],
  )
  const since = Date.now() + 1
  while (Date.now() <= since) await new Promise((resolve) => setTimeout(resolve, 1))
  await container.start()
  await container.wait()
  // The rest of a line of one run is not the beginning of the next run's.
  assert.deepEqual(await linesOf(container, { stderr: false }), [
    '1',
    '2',
    '3',
    '4',
    '5',
    'last',
    '1',
    '2',
    '3',
    '4',
    '5',
    'last',
  ])
  assert.equal((await linesOf(container, { since })).length, 7)
  assert.equal((await linesOf(container, { since: new Date(since) })).length, 7)
  assert.equal((await linesOf(container, { until: new Date(since).toISOString() })).length, 7)
  assert.deepEqual(await linesOf(container, { since: Date.now() + 60_000 }), [])
})

test('a reader follows across rotation and loses nothing that was not rotated away', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const count = 60_000
  // Files enough for everything; and so few that a reader who stops loses some.
  await using container = await shell(`seq 1 ${count}`, { logs: { maxSize: '40k', maxFiles: 200 } })
  await container.start()
  assert.deepEqual(await linesOf(container, { follow: true }), numbers(count))
  assert.deepEqual(await linesOf(container), numbers(count))
  assert.ok(readdirSync(join(fixture.engine.root, 'containers', container.id)).includes('log.50'))
  await using few = await shell(`seq 1 ${count}`, { logs: { maxSize: '40k', maxFiles: 3 } })
  await few.start()
  const seen: number[] = []
  for await (const { line } of few.logs({ follow: true })) {
    seen.push(Number(line))
    if (seen.length === 10) await few.wait()
  }
  assert.deepEqual(
    seen,
    [...new Set(seen)].sort((a, b) => a - b),
    'in order and none twice',
  )
  assert.equal(seen.at(-1), count)
  const gaps = seen.filter((number, i) => i > 0 && number !== (seen[i - 1] ?? 0) + 1)
  assert.ok(gaps.length <= 1, `gaps before ${gaps}`)
})

test('without a limit there is one file', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await shell('seq 1 50000', { logs: { maxSize: 0 } })
  await container.start()
  assert.equal((await linesOf(container, { follow: true })).length, 50_000)
  const files = readdirSync(join(fixture.engine.root, 'containers', container.id)).filter((name) =>
    name.startsWith('log'),
  )
  assert.deepEqual(files, ['log'])
})

test('a line of 100 MB, in flat memory', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const megabytes = 100
  const script = `head -c ${megabytes * 1024 * 1024} /dev/zero | tr '\\0' x; echo; echo after`
  await using container = await shell(script, { logs: { maxSize: '30m', maxFiles: 10 } })
  const { launcher } = await fixture.engine.runtime()
  const memoryOf = (pid: number): number =>
    Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
  await container.start()
  let bytes = 0
  let last = ''
  let mostMb = 0
  global.gc?.()
  const before = process.memoryUsage().rss
  for await (const { line, partial } of container.logs({ follow: true })) {
    bytes += line === 'after' ? 0 : line.length
    assert.ok(line.length <= 1024 * 1024)
    last = line
    if (!partial) mostMb = Math.max(mostMb, (process.memoryUsage().rss - before) / 1024 ** 2)
  }
  assert.deepEqual([bytes, last], [megabytes * 1024 * 1024, 'after'])
  assert.ok(memoryOf(launcher.pid) < 10, `the launcher has ${memoryOf(launcher.pid)} MB`)
  t.diagnostic(`launcher ${memoryOf(launcher.pid).toFixed(1)} MB, Node grew by ${mostMb.toFixed(0)} MB`)
  assert.ok(mostMb < 80, `Node grew by ${mostMb} MB`)
})

test('binary output harms nobody, and characters are not torn', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using binary = await shell('head -c 300000 /dev/urandom; echo; echo whole')
  await binary.start()
  assert.equal((await linesOf(binary, { follow: true })).at(-1), 'whole')
  // Three bytes each: 1 MiB ends in the middle of one.
  const script = 'i=0; printf a; while [ $i -lt 7 ]; do cat /euros; i=$((i+1)); done; echo'
  await using long = await shell(`yes '€' | head -n 70000 | tr -d '\\n' > /euros; ${script}`)
  await long.start()
  const text = (await linesOf(long, { follow: true })).join('')
  assert.equal(text.length, 1 + 7 * 70_000)
  assert.ok(!text.includes('\ufffd'))
})

test('reading while the container is removed', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  const container = await shell('while :; do echo line; done')
  await container.start()
  await firstLine(container)
  const reading = allOf(container, { follow: true })
  reading.catch(() => undefined)
  await container.remove({ force: true })
  assert.ok((await reading).every(({ line }) => line === 'line'))
  await assert.rejects(allOf(container), NotFoundError)
})

test('another engine follows, and so does one reader beside another', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using other = await Engine.open({ root: fixture.engine.root })
  await using container = await shell('for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.02; done')
  await container.start()
  const there = await Container.get(container.id, { engine: other })
  const all = await Promise.all([container, there, there].map((each) => linesOf(each, { follow: true })))
  for (const lines of all) assert.deepEqual(lines, numbers(9))
})

test('a line is told as soon as it is written', kTimeout, async (t) => {
  if (!needsContainers(t)) return
  await using container = await shell('echo one; read x < /fifo; echo two; sleep 1000', {})
  await container.start()
  const told: string[] = []
  const controller = new AbortController()
  const reading = (async () => {
    for await (const { line } of container.logs({ follow: true, signal: controller.signal })) told.push(line)
  })()
  await until(() => told.length >= 1, 'the first line')
  controller.abort(new Error('enough'))
  await assert.rejects(reading, /enough/)
  // Leaving the loop frees what the reader holds.
  assert.equal(await firstLine(container), 'one')
})
