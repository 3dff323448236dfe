// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DetachKeys, parseDetachKeys } from '../../../lib/options/detach-keys.ts'

/** Feeds pieces one by one. @returns what was passed on, and in which piece the keys were complete */
function feed(keys: string, ...pieces: string[]): [passed: string, detachedIn: number] {
  const found = new DetachKeys(parseDetachKeys(keys))
  let passed = ''
  for (const [index, piece] of pieces.entries()) {
    const result = found.feed(Buffer.from(piece, 'latin1'))
    passed += Buffer.from(result.passed).toString('latin1')
    if (result.isDetached) return [passed, index]
  }
  return [passed, -1]
}

test('keys are read in the form of Docker', () => {
  assert.deepEqual(parseDetachKeys('ctrl-p,ctrl-q'), [16, 17])
  assert.deepEqual(parseDetachKeys('a,ctrl-@,ctrl-_,ctrl-['), [97, 0, 31, 27])
  assert.deepEqual(parseDetachKeys(''), [])
  for (const text of ['ctrl-', 'ctrl-P', 'shift-q', 'ab', 'a,,b']) {
    assert.throws(() => parseDetachKeys(text), { code: 'ERR_INVALID_OPTION' }, text)
  }
})

test('keys are found wherever the pieces are cut, and nothing else is lost', () => {
  assert.deepEqual(feed('ctrl-p,ctrl-q', 'ab\x10\x11cd'), ['ab', 0])
  assert.deepEqual(feed('ctrl-p,ctrl-q', 'ab\x10', '\x11'), ['ab', 1])
  assert.deepEqual(feed('ctrl-p,ctrl-q', '\x10', 'x\x10', '\x10', '\x11'), ['\x10x\x10', 3])
  assert.deepEqual(feed('ctrl-p,ctrl-q', '\x11\x10a'), ['\x11\x10a', -1])
  assert.deepEqual(feed('', '\x10\x11'), ['\x10\x11', -1])
})
