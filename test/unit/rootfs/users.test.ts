// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { NotFoundError } from '../../../lib/errors.ts'
import { kMaxUserFileBytes, parseGroup, parsePasswd, resolveUser, type UserFiles } from '../../../lib/rootfs/users.ts'

const kPasswd = `root:x:0:0:root:/root:/bin/sh
# a comment
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin

node:x:1000:1001:Node:/home/node:/bin/sh
broken:x:abc:1::/:/bin/sh
short:x:5
twin:x:1000:7::/twin:/bin/sh
1234:x:50:51::/digits:/bin/sh
homeless:x:60:60::relative:/bin/sh
`
const kGroup = `root:x:0:
audio:x:29:node,daemon
node:x:1001:
docker:x:999:other,node
broken:x::node
`
const files: UserFiles = { passwd: Buffer.from(kPasswd), group: Buffer.from(kGroup) }
const nothing: UserFiles = { passwd: null, group: null }

test('users and groups are found by name and by id', () => {
  const node = { uid: 1000, gid: 1001, additionalGids: [1001, 29, 999], home: '/home/node', name: 'node' }
  const rows: [string, object][] = [
    ['', { uid: 0, gid: 0, additionalGids: [0], home: '/root', name: 'root' }],
    ['root', { uid: 0, gid: 0, additionalGids: [0], home: '/root', name: 'root' }],
    ['node', node],
    ['1000', node],
    ['node:audio', { ...node, gid: 29, additionalGids: [29] }],
    ['1000:29', { ...node, gid: 29, additionalGids: [29] }],
    ['node:12345', { ...node, gid: 12345, additionalGids: [12345] }],
    ['node:', node],
    [':audio', { uid: 0, gid: 29, additionalGids: [29], home: '/root', name: 'root' }],
    ['777', { uid: 777, gid: 0, additionalGids: [0], home: '/', name: null }],
    ['777:888', { uid: 777, gid: 888, additionalGids: [888], home: '/', name: null }],
    ['1234', { uid: 50, gid: 51, additionalGids: [51], home: '/digits', name: '1234' }],
    ['homeless', { uid: 60, gid: 60, additionalGids: [60], home: '/', name: 'homeless' }],
  ]
  for (const [user, expected] of rows) assert.deepEqual(resolveUser(user, [], files), expected, user)
})

test('further groups come after those of the user', () => {
  assert.deepEqual(resolveUser('node', ['root', '5', 'docker'], files).additionalGids, [1001, 29, 999, 0, 5])
  assert.deepEqual(resolveUser('777:1', ['5'], nothing).additionalGids, [1, 5])
})

test('names that are not there are refused with the file that was looked into', () => {
  const rows: [string, string[], UserFiles, RegExp][] = [
    ['nobody', [], files, /user "nobody".*\/etc\/passwd of the image has no line/],
    ['nobody', [], nothing, /user "nobody".*the image has no \/etc\/passwd/],
    ['broken', [], files, /user "broken"/],
    ['short', [], files, /user "short"/],
    ['node:staff', [], files, /group "staff".*\/etc\/group/],
    ['node', ['broken'], files, /group "broken".*\/etc\/group/],
    ['4294967295', [], files, /user "4294967295"/],
    ['-1', [], files, /user "-1"/],
  ]
  for (const [user, groups, from, message] of rows) {
    assert.throws(
      () => resolveUser(user, groups, from),
      (error) => error instanceof NotFoundError && message.test(error.message),
      user,
    )
  }
})

test('a file that is too large is refused', () => {
  const large = { passwd: new Uint8Array(kMaxUserFileBytes + 1), group: null }
  assert.throws(() => resolveUser('node', [], large), { code: 'ERR_USER_FILE_TOO_LARGE' })
})

test('whatever bytes the files hold, ids are whole and below 2^32 - 1', () => {
  const line = fc.array(
    fc.oneof(fc.string({ maxLength: 6 }), fc.constantFrom('0', '00', '4294967296', '-0', '+1', '1e3')),
    {
      maxLength: 8,
    },
  )
  const text = fc.array(line.map((fields) => fields.join(':'))).map((lines) => Buffer.from(lines.join('\n')))
  const isId = (id: number): boolean => Number.isInteger(id) && id >= 0 && id < 2 ** 32 - 1
  void fc.assert(
    fc.property(fc.oneof(text, fc.uint8Array()), (bytes) => {
      assert.ok(parsePasswd(bytes).every(({ uid, gid, home }) => isId(uid) && isId(gid) && home.startsWith('/')))
      assert.ok(parseGroup(bytes).every(({ gid }) => isId(gid)))
    }),
  )
})
