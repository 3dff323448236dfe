// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { LayerError } from '../../../lib/errors.ts'
import { readChanges } from '../../../lib/layer/read-changes.ts'
import { checkLeftovers } from '../../helpers/leftovers.ts'
import { needs } from '../../helpers/needs.ts'

checkLeftovers()

/** Makes directories `upper`, `top` and `base` by a script, and lists the changes as `docker diff` prints them. */
async function diff(t: TestContext, script: string, lowers = ['top', 'base']): Promise<string[]> {
  const dir = fs.mkdtempSync(join(tmpdir(), 'wherry-changes-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  execFileSync('sh', ['-ec', `mkdir upper top base\n${script}`], { cwd: dir })
  const changes = await readChanges(
    join(dir, 'upper'),
    lowers.map((name) => join(dir, name)),
  )
  return changes.map(({ path, kind }) => `${kind[0]} ${path}`)
}

test('added, modified and deleted, and the directories around them', async (t) => {
  if (!needs(t, 'root')) return
  const script = `
    mkdir -p base/etc/deep/er base/same base/var/lib base/old/x; echo a > base/etc/deep/er/file; : > base/var/gone; : > base/old/x/y
    mkdir -p upper/etc/deep/er upper/same upper/var upper/new/dir; echo bb > upper/etc/deep/er/file
    : > upper/new/dir/file; mknod upper/var/gone c 0 0; mknod upper/old c 0 0; mknod upper/never c 0 0`
  assert.deepEqual(await diff(t, script), [
    ...['m /etc', 'm /etc/deep', 'm /etc/deep/er', 'm /etc/deep/er/file'],
    ...['a /new', 'a /new/dir', 'a /new/dir/file', 'd /old', 'm /var', 'd /var/gone'],
  ])
})

test('a file that was copied up and is as before does not count, a change of its status does', async (t) => {
  if (!needs(t, 'root', 'command:setcap')) return
  const script = `
    cd base; for name in same time mode owner cap fraction; do echo x > $name; touch -d @1000.25 $name; done; mkdir d e
    cp -a . ../upper; cd ../upper; touch -d @1000 fraction; touch -d @1001 time; chmod 600 mode; chown 5 owner; chmod 700 d
    setcap cap_net_raw+ep cap; touch -d @1000.25 mode owner cap; touch -d @5 e`
  assert.deepEqual(await diff(t, script), ['m /cap', 'm /d', 'm /mode', 'm /owner', 'm /time'])
})

test('what upper layers hide below is not there', async (t) => {
  if (!needs(t, 'root', 'command:setfattr')) return
  const script = `
    mkdir -p base/a/sub base/b base/c top/a top/b; : > base/a/hidden; : > base/a/sub/x; : > base/b/below; : > base/c/under; : > base/f
    mknod top/f c 0 0; mknod top/c c 0 0; setfattr -n user.overlay.opaque -v y top/a; : > top/b/top
    mkdir -p upper/a/sub upper/b upper/c; : > upper/a/hidden; : > upper/f; mknod upper/b/below c 0 0; mknod upper/b/top c 0 0
    : > upper/c/under`
  assert.deepEqual(await diff(t, script), [
    ...['m /a', 'a /a/hidden', 'a /a/sub', 'm /b', 'd /b/below', 'd /b/top', 'a /c', 'a /c/under', 'a /f'],
  ])
})

test('an opaque directory deletes what it does not have again', async (t) => {
  if (!needs(t, 'root', 'command:setfattr')) return
  const script = `
    mkdir -p base/d/sub top/d; echo 1 > base/d/kept; : > base/d/lost; : > top/d/lost-too; mknod top/d/never c 0 0; : > base/d/never
    touch -d @7 base/d/kept; mkdir upper/d; cp -a base/d/kept upper/d/; : > upper/d/new; setfattr -n user.overlay.opaque -v y upper/d`
  const changes = await diff(t, script)
  assert.deepEqual(changes, ['m /d', 'a /d/new', 'd /d/lost', 'd /d/lost-too', 'd /d/sub'])
})

test('a directory in a file’s place is modified and all in it added; a file in a directory’s place is modified', async (t) => {
  if (!needs(t, 'root')) return
  const script = `
    : > base/f; mkdir -p base/d/sub top/f2 base/link-target; : > base/f2; : > top/f2/own; ln -s link-target base/l
    mkdir upper/f upper/f2 upper/l; : > upper/f/x; : > upper/d; : > upper/f2/own; : > upper/l/x; touch -r top/f2/own upper/f2/own`
  assert.deepEqual(await diff(t, script), ['m /d', 'm /f', 'a /f/x', 'm /l', 'a /l/x'])
})

test('without layers all is added; limits hold; odd names are told', async (t) => {
  const script = `printf x > "upper/$(printf 'caf\\303\\251')"; mkdir upper/d; : > upper/d/e`
  assert.deepEqual(await diff(t, script, []), ['a /café', 'a /d', 'a /d/e'])
  const dir = fs.mkdtempSync(join(tmpdir(), 'wherry-changes-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  for (const name of ['a', 'b', 'c']) fs.writeFileSync(join(dir, name), '')
  await assert.rejects(readChanges(dir, [], { limits: { maxEntries: 2 } }), LayerError)
  await assert.rejects(readChanges(dir, [], { signal: AbortSignal.abort(new Error('no')) }), /^Error: no$/)
})
