// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { treeOf } from '../../../lib/runtime/exec-tree.ts'

function place(pid: number, parent: number, session: number) {
  return { pid, parent, session, startTimeTicks: pid * 10 }
}

test('a session and its descendants are found, and nobody else', () => {
  const places = [
    place(1, 0, 1),
    place(50, 1, 50),
    place(100, 7, 100),
    place(101, 100, 100),
    // Left the session, the parent is still there.
    place(102, 101, 102),
    place(103, 102, 102),
    // Its parent has ended, the session is still the same.
    place(104, 1, 100),
    // Left both.
    place(105, 1, 105),
  ]
  assert.deepEqual(
    treeOf(100, places).map(({ pid }) => pid),
    [101, 102, 103, 104],
  )
  assert.deepEqual(treeOf(99, places), [])
})
