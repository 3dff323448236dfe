// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseSubids, kDefaultSubidRange, parseSubids } from '../../../lib/host/subid.ts'

test('malformed, empty and dangerous ranges are left out', () => {
  const text = '# comment\nann:100000:65536\nbob:0:65536\neve:100:0\nmax:4294967290:100\nx:1\n:1:2\n\n1000:5:6 \n'
  assert.deepEqual(parseSubids(text), [
    { owner: 'ann', start: 100_000, count: 65_536 },
    { owner: '1000', start: 5, count: 6 },
  ])
})

test('root prefers wherry, then containers, then a fixed range; file by file', () => {
  const choice = chooseSubids({
    uid: 0,
    userName: 'root',
    subuid: 'root:1:2\ncontainers:300000:65536\nwherry:200000:65536\n',
    subgid: 'containers:300000:65536\n',
  })
  assert.deepEqual(choice, {
    uids: [{ start: 200_000, count: 65_536 }],
    gids: [{ start: 300_000, count: 65_536 }],
    uidSource: 'wherry',
    gidSource: 'containers',
  })
  const none = chooseSubids({ uid: 0, subuid: '', subgid: 'root:1:2\n' })
  assert.deepEqual([none.uids, none.gids, none.uidSource], [[kDefaultSubidRange], [kDefaultSubidRange], 'default'])
})

test('another user takes entries of their name and of their number', () => {
  const subuid = 'ann:100000:10\nwherry:1:2\n1000:200000:10\nann2:5:5\n'
  const choice = chooseSubids({ uid: 1000, userName: 'ann', subuid, subgid: 'bob:1:1\n' })
  assert.deepEqual(
    choice.uids.map(({ start }) => start),
    [100_000, 200_000],
  )
  assert.deepEqual([choice.uidSource, choice.gidSource, choice.gids], ['user', 'none', []])
})
