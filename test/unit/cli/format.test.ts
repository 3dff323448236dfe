// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { humanAge, humanSince, humanSize } from '../../../lib/cli/format/human.ts'
import { canonicalName, shortId, shortName, splitName } from '../../../lib/cli/format/names.ts'
import { printable, printableJson, printableLines, truncate } from '../../../lib/cli/format/printable.ts'
import { formatTable } from '../../../lib/cli/format/table.ts'

test('sizes have three digits and powers of 1000', () => {
  const cases: [number, string][] = [
    [0, '0B'],
    [999, '999B'],
    [1000, '1kB'],
    [1_982_256, '1.98MB'],
    [7_830_000, '7.83MB'],
    [116_400_000, '116MB'],
    [999_900, '1MB'],
    [999_499, '999kB'],
    [1_240_000_000, '1.24GB'],
    [5e18, '5000PB'],
  ]
  for (const [bytes, text] of cases) assert.equal(humanSize(bytes), text)
})

test('ages have one unit', () => {
  const [second, minute, hour, day] = [1000, 60_000, 3_600_000, 86_400_000]
  const cases: [number, string][] = [
    [-5, 'Less than a second ago'],
    [second, '1 second ago'],
    [59 * second, '59 seconds ago'],
    [minute, 'About a minute ago'],
    [59 * minute, '59 minutes ago'],
    [hour, 'About an hour ago'],
    [47 * hour, '47 hours ago'],
    [2 * day, '2 days ago'],
    [13 * day, '13 days ago'],
    [14 * day, '2 weeks ago'],
    [59 * day, '8 weeks ago'],
    [61 * day, '2 months ago'],
    [729 * day, '24 months ago'],
    [730 * day, '2 years ago'],
  ]
  for (const [ms, text] of cases) assert.equal(humanAge(ms), text)
  assert.equal(humanSince(undefined, 0), 'N/A')
  assert.equal(humanSince('no date', 0), 'N/A')
  assert.equal(humanSince('2026-01-01T00:00:00Z', Date.UTC(2026, 0, 4)), '3 days ago')
})

test('a table has columns that begin below each other', () => {
  const table = formatTable(
    ['NAME', 'SIZE'],
    [
      ['a-rather-long-name', '1B'],
      ['b', '2B'],
    ],
  )
  assert.equal(table, 'NAME                 SIZE\na-rather-long-name   1B\nb                    2B\n')
  assert.equal(formatTable(['A', 'B', 'C'], []), 'A         B         C\n')
  assert.equal(formatTable(['A', 'B'], [['a', '']]), 'A         B\na\n')
})

test('nothing that an image says moves the cursor', () => {
  assert.equal(printable('a\u001b[2Jb\u009bc\u202ed\te\nf'), 'a\\u001b[2Jb\\u009bc\\u202ed e f')
  assert.equal(printableLines('a\nb\u0007'), 'a\nb\\u0007')
  assert.equal(formatTable(['A'], [['\u001b]0;title\u0007']]), 'A\n\\u001b]0;title\\u0007\n')
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      for (const character of printable(text)) {
        const code = character.codePointAt(0) ?? 0
        assert.ok(code >= 0x20 && (code < 0x7f || code > 0x9f))
      }
    }),
  )
})

test('text is cut between characters', () => {
  assert.equal(truncate('12345', 5), '12345')
  assert.equal(truncate('123456', 5), '1234…')
  assert.equal(truncate('😀😀😀', 2), '😀…')
})

test('names are shown as people write them', () => {
  const digest = `sha256:${'a'.repeat(64)}`
  const none = '<none>'
  assert.deepEqual(splitName('docker.io/library/alpine:3.20'), { repository: 'alpine', tag: '3.20', digest: none })
  assert.deepEqual(splitName('docker.io/o/r:latest'), { repository: 'o/r', tag: 'latest', digest: none })
  assert.deepEqual(splitName('localhost:5000/app:1'), { repository: 'localhost:5000/app', tag: '1', digest: none })
  assert.deepEqual(splitName(`localhost:5000/app@${digest}`), { repository: 'localhost:5000/app', tag: none, digest })
  assert.equal(shortName('docker.io/library/alpine:1'), 'alpine:1')
  assert.equal(shortName('docker.io/library/a/b:1'), 'library/a/b:1')
  assert.equal(shortId(digest), 'a'.repeat(12))
})

test('the full form of a name is found among those of an image', () => {
  const tags = ['docker.io/library/alpine:latest', 'ghcr.io/o/r:1', 'docker.io/o/r:2']
  assert.equal(canonicalName('alpine', tags), 'docker.io/library/alpine:latest')
  assert.equal(canonicalName('o/r:2', tags), 'docker.io/o/r:2')
  assert.equal(canonicalName('ghcr.io/o/r:1', tags), 'ghcr.io/o/r:1')
  assert.equal(canonicalName('elsewhere', tags), 'elsewhere')
})

test('JSON carries no character that a terminal would obey, and means the same', () => {
  const value = { label: 'a\u001b[2J\u009b31m\u202eevil\u007f\n\u2028', list: ['ü', '日本'] }
  const text = printableJson(value, 2)
  assert.deepEqual(JSON.parse(text), value)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/)
  assert.ok(text.includes('日本') && text.includes('\n  "list"'))
})
