// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseMountinfo, unescapeMountField } from '../../../lib/host/mountinfo.ts'

test('a line with optional fields', () => {
  const text = '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n'
  assert.deepEqual(parseMountinfo(text), [
    {
      id: 36,
      parentId: 35,
      device: '98:0',
      root: '/mnt1',
      mountPoint: '/mnt2',
      options: ['rw', 'noatime'],
      propagation: ['master:1', 'shared:7'],
      fsType: 'ext3',
      source: '/dev/root',
      superOptions: ['rw', 'errors=continue'],
    },
  ])
})

test('octal escapes are undone, once', () => {
  const [entry] = parseMountinfo('1 2 0:1 / /a\\040b\\011c\\012d\\134040 rw - tmpfs my\\040tmp rw\n')
  assert.equal(entry?.mountPoint, '/a b\tc\nd\\040')
  assert.equal(entry?.source, 'my tmp')
  assert.deepEqual(entry?.propagation, [])
  assert.equal(unescapeMountField('/plain\\9'), '/plain\\9')
})

test('a source or an escaped path that is a dash does not confuse the separator', () => {
  const [entry] = parseMountinfo('1 2 0:1 / /- rw shared:1 - tmpfs - rw\n')
  assert.deepEqual([entry?.mountPoint, entry?.fsType, entry?.source], ['/-', 'tmpfs', '-'])
})

test('lines of another shape are left out', () => {
  assert.deepEqual(parseMountinfo('\nnonsense\n1 2 0:1 / /a rw shared:1 tmpfs x rw\n1 2 0:1 / /a rw - tmpfs\n'), [])
})
