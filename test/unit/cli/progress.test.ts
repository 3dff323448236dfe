// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { formatBar, ProgressBars } from '../../../lib/cli/progress/bars.ts'
import { archiveItem, type ProgressItem, pullItem, pushItem } from '../../../lib/cli/progress/item.ts'
import { ProgressLines } from '../../../lib/cli/progress/lines.ts'
import type { PullProgress } from '../../../lib/index.ts'

const digest = `sha256:${'0123456789ab'.padEnd(64, 'f')}` as const

function item(state: string, more: Partial<ProgressItem> = {}): ProgressItem {
  return { key: 'k', label: 'layer', state, bytes: 5, totalBytes: 10, isFinished: false, ...more }
}

test('what the library reports becomes items', () => {
  const layer = { digest, position: 0, count: 2 } as PullProgress['layer'] & object
  const base = { digest, bytes: 1, totalBytes: 2 } as Pick<PullProgress, 'digest' | 'bytes' | 'totalBytes'>
  assert.equal(pullItem({ ...base, phase: 'resolving' }), undefined)
  assert.equal(pullItem({ ...base, phase: 'done' }), undefined)
  assert.deepEqual(pullItem({ ...base, phase: 'downloading', layer }), {
    key: digest,
    label: '0123456789ab',
    state: 'Downloading',
    bytes: 1,
    totalBytes: 2,
    isFinished: false,
  })
  assert.equal(pullItem({ ...base, phase: 'exists', layer })?.isFinished, true)
  assert.equal(pushItem({ ...base, phase: 'done' } as never), undefined)
  assert.equal(pushItem({ ...base, phase: 'uploaded' } as never)?.state, 'Pushed')
  const reading = archiveItem('a.tar', { phase: 'unpacking', bytes: 1, totalBytes: undefined, layer })
  assert.equal(reading?.state, 'Extracting layer 1 of 2')
})

test('without a terminal there is a line for each state', () => {
  let text = ''
  const lines = new ProgressLines((line) => {
    text += line
  })
  for (const state of ['Downloading', 'Downloading', 'Extracting', 'Pull complete']) lines.update(item(state))
  assert.equal(text, 'layer: Downloading\nlayer: Extracting\nlayer: Pull complete\n')
})

test('a bar is as wide as the terminal allows, and never wider', () => {
  const wide = formatBar(item('Downloading', { label: '0123456789ab', bytes: 5e6, totalBytes: 1e7 }), 200)
  assert.equal(wide, `0123456789ab: Downloading    [${'='.repeat(25)}>${' '.repeat(24)}] 5MB/10MB`)
  for (const columns of [20, 60, 61, 80, 120]) {
    const line = formatBar(
      item('Downloading', { label: '0123456789ab', bytes: 123_456_789, totalBytes: 999e6 }),
      columns,
    )
    assert.ok(columns < 60 || line.length <= columns, `${line.length} of ${columns}`)
    assert.equal(columns < 60, !line.includes('['))
  }
  assert.match(formatBar(item('Reading', { bytes: 1500, totalBytes: undefined }), 80), /^layer: Reading {8}1\.5kB$/)
  assert.doesNotMatch(formatBar(item('x', { bytes: 20, totalBytes: 10 }), 120), />/)
})

test('on a terminal finished layers become lines above the bars, and nothing is left of the bars', async () => {
  const output = Object.assign(new PassThrough(), { isTTY: true, columns: 100 })
  let text = ''
  output.on('data', (chunk: Buffer) => {
    text += String(chunk)
  })
  const bars = await ProgressBars.open(output)
  bars.update(item('Downloading'))
  bars.update(item('Extracting', { key: 'third', label: 'third' }))
  bars.update(item('Pull complete', { isFinished: true }))
  bars.update(item('Pull complete', { isFinished: true }))
  bars.update(item('Already exists', { key: 'other', label: 'other', isFinished: true }))
  bars.stop()
  await new Promise((resolve) => output.end(resolve))
  assert.match(text, /third: Extracting {5}\[=+>/)
  assert.equal(text.split('layer: Pull complete').length, 2)
  assert.equal(text.split('other: Already exists').length, 2)
  assert.ok(text.lastIndexOf('[?25h') > text.lastIndexOf('[?25l'), 'the cursor is shown again')
})
