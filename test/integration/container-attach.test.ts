// SPDX-License-Identifier: MIT
// The own streams of containers that stay: an open input, a terminal, and those who come and go.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { Container, ContainerStateError, Engine, InvalidOptionError, type LogLine } from '../../lib/index.ts'
import { until } from '../helpers/until.ts'
import { needsContainers, useFixture } from './rootfs.ts'

const fixture = useFixture()

const kChunk = Buffer.alloc(64 * 1024, 'wherry ')
const kChunks = 256
const kStillMs = 500

/** What a stream has said so far. */
function heard(stream: Readable): { said: () => string } {
  let all = ''
  stream.on('data', (chunk: Buffer) => {
    all += String(chunk)
  })
  return { said: () => all }
}

async function logOf(container: Container): Promise<string[]> {
  const lines: LogLine[] = []
  for await (const line of container.logs()) lines.push(line)
  return lines.map(({ stream, line }) => `${stream} ${line}`)
}

/** What its log holds, in bytes. */
async function logBytes(container: Container): Promise<number> {
  const { size } = await stat(join(fixture.engine.root, 'containers', container.id, 'log'))
  return size
}

/** A number, once it has stayed as it is for a while. */
async function settled(number: () => Promise<number>): Promise<number> {
  let [last, since] = [await number(), Date.now()]
  while (Date.now() - since < kStillMs) {
    await new Promise((resolve) => setTimeout(resolve, kStillMs / 10))
    const now = await number()
    if (now !== last) [last, since] = [now, Date.now()]
  }
  return last
}

test('who starts and attaches in one misses nothing; an input for one ends with it', async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const command = ['sh', '-c', 'echo first; cat; echo err >&2; exit 4']
  await using container = await Container.create(image, { engine, command, stdin: 'once' })
  await assert.rejects(container.attach(), ContainerStateError)
  for (let round = 1; round <= 2; round++) {
    const attachment = await container.startAttached({ stdin: 'pipe' })
    assert.equal(attachment.tty, false)
    attachment.stdin?.end('typed\n')
    const [stdout, stderr] = await Promise.all([text(attachment.stdout), text(attachment.stderr ?? assert.fail())])
    assert.deepEqual([stdout, stderr, await attachment.wait()], ['first\ntyped\n', 'err\n', 'ended'])
    assert.equal((await container.wait()).exitCode, 4)
  }
  const log = ['stdout first', 'stdout typed', 'stderr err']
  assert.deepEqual(await logOf(container), [...log, ...log])
})

test('a terminal that stays: typing, size, detach keys, several at a time, and from elsewhere', async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  await using container = await Container.start(image, {
    engine,
    command: ['sh'],
    stdin: 'open',
    tty: true,
    detached: true,
  })
  const attachment = await container.attach({ stdin: 'pipe' })
  assert.deepEqual([attachment.tty, attachment.stderr], [true, null])
  const first = heard(attachment.stdout)
  attachment.resize({ rows: 33, columns: 99 })
  attachment.stdin?.write('stty size; echo "he"re\n')
  await until(() => /33 99\r\nhere\r\n/.test(first.said()), 'an answer')
  // A key that only begins like them goes on.
  attachment.stdin?.write('\u0010x\u0010')
  attachment.stdin?.write('\u0011never typed\n')
  assert.equal(await attachment.wait(), 'detached')
  await using elsewhere = await Engine.open({ root: engine.root })
  const same = await Container.get(container.id, { engine: elsewhere })
  const [typing, watching] = [await same.attach({ stdin: 'pipe', detachKeys: '' }), await container.attach()]
  assert.equal(watching.stdin, null)
  const [second, third] = [heard(typing.stdout), heard(watching.stdout)]
  typing.stdin?.write('\u0015exit 3\n')
  assert.deepEqual([await typing.wait(), await watching.wait()], ['ended', 'ended'])
  assert.match(second.said(), /exit 3\r\n/)
  assert.equal(third.said(), second.said())
  assert.doesNotMatch(first.said() + second.said(), /never typed/)
  assert.equal((await container.wait()).exitCode, 3)
  await assert.rejects(container.attach(), ContainerStateError)
})

test('a program on a terminal that ends at once leaves its words in the log', async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  for (const userns of ['auto', 'host'] as const) {
    await using container = await Container.start(image, { engine, command: ['echo', 'quick'], tty: true, userns })
    await container.wait()
    assert.deepEqual(await logOf(container), ['stdout quick\r'])
  }
})

test('megabytes go through input and output, whole', async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  await using container = await Container.create(image, { engine, command: ['cat'], stdin: 'once' })
  const attachment = await container.startAttached({ stdin: 'pipe' })
  const got = createHash('sha256')
  attachment.stdout.on('data', (chunk: Buffer) => got.update(chunk))
  attachment.stderr?.resume()
  const sent = createHash('sha256')
  for (let i = 0; i < kChunks; i++) {
    sent.update(kChunk)
    await new Promise((resolve) => attachment.stdin?.write(kChunk, resolve))
  }
  attachment.stdin?.end()
  assert.equal(await attachment.wait(), 'ended')
  assert.equal(got.digest('hex'), sent.digest('hex'))
})

test('one who does not read holds the output back, and lets it go on by leaving', async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const command = ['sh', '-c', `read go; dd if=/dev/zero bs=64k count=${kChunks} 2>/dev/null; echo end >&2`]
  for (const leave of ['detach', 'read', 'give up'] as const) {
    await using container = await Container.start(image, { engine, command, stdin: 'open' })
    const attachment = await container.attach({ stdin: 'pipe' })
    attachment.stderr?.resume()
    attachment.stdin?.write('go\n')
    await until(async () => (await logBytes(container)) >= 1024 * 1024, 'as much as is put by has come out')
    const held = await settled(() => logBytes(container))
    // What the launcher puts by, and what the pipe and sockets hold; all of it would be sixteen megabytes.
    assert.ok(held < 4 * 1024 * 1024, `${held} bytes have come out`)
    assert.equal((await container.inspect()).status, 'running')
    let heard = 0
    if (leave === 'detach') attachment.detach()
    else if (leave === 'give up') attachment.stdout.destroy()
    else attachment.stdout.on('data', (chunk: Buffer) => (heard += chunk.length))
    assert.equal(await attachment.wait(), leave === 'detach' ? 'detached' : 'ended')
    await container.wait()
    assert.ok((await logBytes(container)) >= kChunks * kChunk.length)
    if (leave === 'read') assert.equal(heard, kChunks * kChunk.length)
    assert.ok((await logOf(container)).includes('stderr end'))
  }
})

test('what was typed reaches the container, also when it was typed just before leaving', async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  const command = ['sh', '-c', 'read go; sleep 0.2; wc -c']
  await using container = await Container.start(image, { engine, command, stdin: 'once' })
  const attachment = await container.attach({ stdin: 'pipe' })
  const typed = Buffer.concat([Buffer.from('go\n'), kChunk, kChunk, kChunk])
  await new Promise((resolve) => attachment.stdin?.write(typed, resolve))
  attachment.detach()
  await container.wait()
  assert.deepEqual(await logOf(container), [`stdout ${3 * kChunk.length}`])
})

test('wrong options are refused, and an abort detaches', async (t) => {
  if (!needsContainers(t)) return
  const { engine, image } = fixture
  await assert.rejects(Container.create(image, { engine, stdin: 'pipe' as 'open' }), InvalidOptionError)
  await using container = await Container.start(image, { engine, command: ['sleep', '1000'] })
  await assert.rejects(container.attach({ detachKeys: 'ctrl-p,shift-q' }), InvalidOptionError)
  await assert.rejects(container.attach({ stdin: 'open' as 'pipe' }), InvalidOptionError)
  const reason = new Error('enough')
  await assert.rejects(container.attach({ signal: AbortSignal.abort(reason) }), reason)
  const stop = new AbortController()
  const attachment = await container.attach({ stdin: 'pipe', signal: stop.signal })
  assert.equal(attachment.stdin, null)
  stop.abort(reason)
  await assert.rejects(attachment.wait(), reason)
  assert.equal((await container.inspect()).status, 'running')
})
