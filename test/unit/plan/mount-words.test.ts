// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kMountAttr, kMountFlag, parseMountWords } from '../../../lib/plan/mount-words.ts'

const kNothing = { attr: 0, recursive: false, propagation: 0, idMapped: false, subpath: '', data: [] }

test('splits attributes, propagation and data', () => {
  const words = parseMountWords(['nosuid', 'nodev', 'noexec', 'ro', 'rslave', 'size=64m', 'mode=1777'])
  const { nosuid, nodev, noexec, readOnly } = kMountAttr
  assert.equal(words.attr, nosuid | nodev | noexec | readOnly)
  assert.equal(words.propagation, kMountFlag.slave)
  assert.deepEqual(words.data, ['size=64m', 'mode=1777'])
  assert.equal(words.recursive, false)
})

test('words that say what holds anyway mean nothing', () => {
  for (const word of ['rw', 'suid', 'dev', 'exec', 'relatime', 'defaults', 'bind']) {
    assert.deepEqual(parseMountWords([word]), kNothing, word)
  }
  assert.deepEqual(parseMountWords(), kNothing)
})

test('rbind takes what is mounted below', () => {
  assert.equal(parseMountWords(['rbind', 'ro']).recursive, true)
  assert.equal(parseMountWords(['bind', 'ro']).recursive, false)
})

test('each propagation, with and without r', () => {
  for (const kind of ['private', 'slave', 'shared'] as const) {
    assert.equal(parseMountWords([kind]).propagation, kMountFlag[kind])
    assert.equal(parseMountWords([`r${kind}`]).propagation, kMountFlag[kind])
  }
})

test('ids of the container, and a part of the source', () => {
  const { idMapped, subpath, data } = parseMountWords(['bind', 'idmap', 'X-mount.subdir=a/b,c'])
  assert.deepEqual({ idMapped, subpath, data }, { idMapped: true, subpath: 'a/b,c', data: [] })
})
