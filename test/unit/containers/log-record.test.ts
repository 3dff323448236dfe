// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LineJoiner, parseLogRecord } from '../../../lib/containers/log-record.ts'

const kTime = '2026-01-02T03:04:05.000000006Z'

function record(mark: 'F' | 'P', text: string | Buffer, stream = 'stdout') {
  const parsed = parseLogRecord(Buffer.concat([Buffer.from(`${kTime} ${stream} ${mark} `), Buffer.from(text)]))
  assert.ok(parsed !== undefined)
  return parsed
}

test('records', () => {
  const { stream, time, isWhole, text } = record('F', ' two  spaces ')
  assert.deepEqual([stream, time, isWhole, text.toString()], ['stdout', kTime, true, ' two  spaces '])
  assert.equal(record('P', '').text.length, 0)
  for (const wrong of [
    '',
    'x',
    `${kTime} stdout`,
    `${kTime} stdout F`,
    `${kTime} stdin F x`,
    `${kTime} stdout X x`,
    'a'.repeat(100),
  ]) {
    assert.equal(parseLogRecord(Buffer.from(wrong)), undefined, wrong)
  }
})

test('pieces become lines, stream by stream', () => {
  const joiner = new LineJoiner()
  const piece = 'x'.repeat(16 * 1024)
  assert.equal(joiner.push(record('P', piece)), undefined)
  assert.equal(joiner.push(record('F', 'between', 'stderr'))?.line, 'between')
  const line = joiner.push(record('F', 'end'))
  assert.deepEqual([line?.line, line?.partial], [`${piece}end`, false])
})

test('a short piece ends a stream: the next run begins anew', () => {
  const joiner = new LineJoiner()
  assert.deepEqual(
    [joiner.push(record('P', 'last'))?.partial, joiner.push(record('F', 'first'))?.line],
    [true, 'first'],
  )
  joiner.push(record('P', 'x'.repeat(16 * 1024)))
  assert.equal(joiner.push(record('P', ''))?.line.length, 16 * 1024)
  assert.deepEqual(joiner.end(), [])
})

test('a line of more than 1 MiB comes in parts, and no character is torn', () => {
  const joiner = new LineJoiner()
  const bytes = Buffer.from(`a${'€'.repeat(700_000)}`)
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 16 * 1024) {
    const line = joiner.push(record('P', bytes.subarray(at, at + 16 * 1024)))
    if (line !== undefined) lines.push(line.line)
  }
  lines.push(...joiner.end().map(({ line }) => line))
  assert.equal(lines.length, 3)
  assert.equal(lines.join(''), bytes.toString())
  for (const line of lines) assert.ok(!line.includes('\ufffd'))
})
