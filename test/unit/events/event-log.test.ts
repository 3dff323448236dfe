// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { appendFile, mkdtemp, open as openFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { formatEvent, type LoggedEvent, makeEvent, parseEvent } from '../../../lib/events/event.ts'
import { checkEventFilters } from '../../../lib/events/event-filters.ts'
import { EventLog } from '../../../lib/events/event-log.ts'
import { EventReader } from '../../../lib/events/event-reader.ts'
import { loadNative } from '../../../lib/launcher/native.ts'
import { until } from '../../helpers/until.ts'

const native = loadNative()
let top = ''
before(async () => {
  top = await mkdtemp(join(tmpdir(), 'wherry-events-'))
})
after(() => rm(top, { recursive: true, force: true }))

const newDir = (): Promise<string> => mkdtemp(join(top, 'log-'))

async function all(reader: EventReader): Promise<LoggedEvent[]> {
  const found: LoggedEvent[] = []
  for await (const events of reader.read({ follow: false })) found.push(...events)
  return found
}

const numbered = (id: string, number: number, run?: string) =>
  ({ type: 'container', action: 'start', id, name: String(number), run }) as const

test('a line of the log', () => {
  const event = makeEvent({ type: 'image', action: 'tag', id: 'i', name: 'n', attributes: { a: 'b', none: undefined } })
  assert.deepEqual(parseEvent(formatEvent(event)), event)
  assert.deepEqual(event.attributes, { a: 'b' })
  const long = makeEvent({ ...event, attributes: { long: 'x'.repeat(40_000), short: 'y' } })
  assert.deepEqual(parseEvent(formatEvent(long))?.attributes, { short: 'y' })
  const odd = [
    ...[null, [], 'text', { a: null }, { a: 1 }, { a: {} }].map((attributes) => ({ ...event, attributes })),
    ...['action', 'id', 'name', 'time'].map((name) => ({ ...event, [name]: null })),
    { ...event, run: 5 },
  ].map((each) => JSON.stringify(each))
  for (const line of [
    ...odd,
    '',
    'null',
    '{}',
    '[1]',
    '{"type":"image"',
    JSON.stringify({ ...event, type: 'other' }),
  ]) {
    assert.equal(parseEvent(line), undefined, line)
  }
})

test('what may be told later is written in its order, by itself, before what comes after it, and when all is settled', async (t) => {
  const dir = await newDir()
  const log = new EventLog(dir, native)
  const names = async (): Promise<string[]> =>
    (await all(new EventReader(log.files, undefined))).map(({ name }) => name)
  // As if later never came.
  const timers = t.mock.method(globalThis, 'setTimeout', () => undefined)
  log.tellLater(numbered('a', 0))
  log.tellLater(numbered('a', 1))
  assert.deepEqual(await names(), [])
  timers.mock.restore()
  await log.tell(numbered('a', 2))
  assert.deepEqual(await names(), ['0', '1', '2'])
  log.tellLater(numbered('a', 3))
  await log.settle()
  assert.deepEqual(await names(), ['0', '1', '2', '3'])
  const before = await log.end()
  log.tellLater(numbered('a', 4))
  assert.notDeepEqual(await log.end(), before)
  log.tellLater(numbered('a', 5))
  await until(async () => (await names()).length === 6, 'it is written by itself')
})

test('what is told after the end is for this process only, and brings no root back', async () => {
  const root = await newDir()
  const log = new EventLog(join(root, 'events'), native)
  log.tellLater(numbered('a', 0))
  await log.close()
  assert.deepEqual(
    (await all(new EventReader(log.files, undefined))).map(({ name }) => name),
    ['0'],
  )
  log.tellLater(numbered('a', 1))
  await log.tell(numbered('a', 2))
  await log.settle()
  assert.equal((await all(new EventReader(log.files, undefined))).length, 1)
  const open = new EventLog(join(root, 'events'), native)
  await rm(root, { recursive: true })
  await open.tell(numbered('a', 3))
  await assert.rejects(stat(root), { code: 'ENOENT' })
})

test('a writer who is stopped while it begins another file holds up the others for a while only', {
  timeout: 30_000,
}, async () => {
  const log = new EventLog(await newDir(), native)
  await log.tell(numbered('a', 0))
  await using stopped = await openFile(log.files.path(1), 'r+')
  assert.ok(native.ofdLock(stopped.fd, 'write'))
  await log.tell(numbered('a', 1))
  native.ofdLock(stopped.fd, 'unlock')
  await log.tell(numbered('a', 2))
  assert.deepEqual(
    (await all(new EventReader(log.files, undefined))).map(({ name }) => name),
    ['0', '2'],
  )
})

test('many writers and files: a reader gets all, once, each writer in its order', { timeout: 120_000 }, async () => {
  const dir = await newDir()
  const writers = Array.from({ length: 4 }, () => new EventLog(dir, native, { maxFileBytes: 8_000 }))
  const stop = new AbortController()
  const found: LoggedEvent[] = []
  const reading = (async () => {
    const reader = new EventReader(writers[0]?.files ?? assert.fail(), await writers[0]?.end())
    for await (const events of reader.read({ follow: true, signal: stop.signal })) {
      found.push(...events)
      if (found.length >= 800) return
    }
  })()
  await Promise.all(
    writers.map(async (log, writer) => {
      for (let number = 0; number < 200; number++) await log.tell(numbered(String(writer), number))
    }),
  )
  await reading
  stop.abort()
  const numbers = Array.from({ length: 200 }, (_, number) => String(number))
  for (const writer of ['0', '1', '2', '3']) {
    assert.deepEqual(
      found.filter(({ id }) => id === writer).map(({ name }) => name),
      numbers,
    )
  }
  const files = (await writers[0]?.files.numbers()) ?? []
  assert.ok((files[0] ?? 0) > 1 && files.length <= 4, `files ${files.join()}`)
})

test('who begins gets what is there; who begins at the end, what comes', async () => {
  const log = new EventLog(await newDir(), native)
  const nothing = await log.end()
  void log.tell(numbered('a', 1))
  // In the order of the calls, though nothing was waited for.
  const end = log.end()
  void log.tell(numbered('a', 2))
  await log.settle()
  const names = async (reader: EventReader): Promise<string[]> => (await all(reader)).map(({ name }) => name)
  assert.deepEqual(await names(new EventReader(log.files, undefined)), ['1', '2'])
  assert.deepEqual(await names(new EventReader(log.files, nothing)), ['1', '2'])
  assert.deepEqual(await names(new EventReader(log.files, await end)), ['2'])
})

test('filters and readers take what another version or a stranger may have written', async () => {
  const log = new EventLog(await newDir(), native)
  await log.tell({ ...numbered('a', 1), attributes: { constructor: 'kept', of: 'test' } })
  const [event] = await all(new EventReader(log.files, undefined))
  assert.deepEqual(event?.attributes, { constructor: 'kept', of: 'test' })
  await appendFile(log.files.path(1), `\n${JSON.stringify({ ...event, attributes: null })}\n`)
  await appendFile(log.files.path(1), `${JSON.stringify({ ...event, attributes: { of: null } })}\n`)
  await appendFile(log.files.path(1), `${JSON.stringify({ ...event, version: 2, name: 'newer' })}\n`)
  const fits = checkEventFilters({ label: 'of=test', image: [] })
  assert.deepEqual(
    (await all(new EventReader(log.files, undefined))).filter(fits).map(({ name }) => name),
    ['1', 'newer'],
  )
})

test('what is no event is passed over, and costs none of the others', async () => {
  const log = new EventLog(await newDir(), native)
  await log.tell(numbered('a', 1))
  await appendFile(log.files.path(1), '{"type":"container","acti')
  await log.tell(numbered('a', 2))
  await appendFile(log.files.path(1), `${'x'.repeat(200_000)}\n\0\n`)
  await log.tell(numbered('a', 3))
  assert.deepEqual(
    (await all(new EventReader(log.files, undefined))).map(({ name }) => name),
    ['1', '2', '3'],
  )
})

test('an end that is told twice counts once', async () => {
  const log = new EventLog(await newDir(), native)
  const told: [action: string, run?: string][] = [
    ['oom', '1'],
    ['die', '1'],
    ['oom', '1'],
    ['die', '1'],
    ['start'],
    ['die', '2'],
    ['destroy'],
  ]
  for (const [action, run] of told) await log.tell({ type: 'container', action, id: 'a', name: 'a', run })
  assert.deepEqual(
    (await all(new EventReader(log.files, undefined))).map(({ action }) => action),
    ['oom', 'die', 'start', 'die', 'destroy'],
  )
})

test('a reader who is too late is told so', async () => {
  const log = new EventLog(await newDir(), native, { maxFileBytes: 1 })
  await log.tell(numbered('a', 0))
  const reader = new EventReader(log.files, { file: 1, offset: 0 })
  for (let number = 1; number < 10; number++) await log.tell(numbered('a', number))
  await assert.rejects(all(reader), { code: 'ERR_EVENTS_LOST' })
})
